"use strict";
/* Live parts: what the server sends by id takes the place of what the element holds. */
(() => {
  /* Only what differs is touched: focus, open details, a selection and a press under way stay. A button that has come
     to mean something else is another button. */
  const morph = (old, fresh) => {
    const there = [...old.childNodes];
    const wanted = [...fresh.childNodes];
    wanted.forEach((next, place) => {
      const now = there[place];
      if (!now) old.append(next);
      else if (now.nodeName !== next.nodeName || now.id !== next.id || now.value !== next.value) now.replaceWith(next);
      else if (next.nodeType === Node.ELEMENT_NODE) {
        for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
        for (const { name } of [...now.attributes])
          if (!next.hasAttribute(name) && name !== "open" && name !== "aria-busy") now.removeAttribute(name);
        morph(now, next);
      } else if (now.data !== next.data) now.data = next.data;
    });
    there.slice(wanted.length).forEach((one) => one.remove());
  };
  const place = document.querySelector("[data-live]");
  const link = document.getElementById("link");
  const say = (text, lost) => {
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("lost", lost);
  };
  const connect = () => {
    const source = new EventSource(place.dataset.live);
    source.onopen = () => say("live", false);
    source.onmessage = (event) => {
      const part = JSON.parse(event.data);
      const element = document.getElementById(part.id);
      if (!element) return;
      const fresh = document.createElement("template");
      fresh.innerHTML = part.html;
      morph(element, fresh.content);
      const titled = element.querySelector("[data-title]");
      if (titled) document.title = titled.dataset.title;
      if (element.querySelector("[data-reload]")) {
        source.close();
        location.reload();
      }
    };
    source.onerror = () => {
      say("connection lost, trying again; what you see is the last that was known", true);
      if (source.readyState === EventSource.CLOSED) {
        /* Refused rather than lost: the session has ended, or a proxy answered. */
        source.close();
        fetch(location.href, { method: "HEAD", redirect: "manual" }).then(
          (answer) => (answer.ok || answer.status >= 500 ? setTimeout(connect, 5000) : location.reload()),
          () => setTimeout(connect, 5000),
        );
      }
    };
  };
  if (place && link) connect();

  /* What was pressed is sent once until it is answered. A form that stays on its page (data-stay) leaves what else was
     typed there. */
  const told = document.getElementById("told");
  const tell = (text) => {
    told.textContent = text;
    told.hidden = !text;
  };
  const sent = new Set();
  const free = (pressed) => {
    sent.delete(pressed);
    pressed.removeAttribute("aria-busy");
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const pressed = event.submitter ?? form;
    if (sent.has(pressed)) {
      event.preventDefault();
      return;
    }
    sent.add(pressed);
    pressed.setAttribute("aria-busy", "true");
    if (form.dataset.stay === undefined) return;
    event.preventDefault();
    fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, event.submitter)), redirect: "manual" })
      .then(async (answer) => {
        if (answer.type !== "opaqueredirect") {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          tell((page.getElementById("trouble") ?? page.body).textContent);
          return;
        }
        tell("");
        if (form.dataset.stay === "clear") form.reset();
        document.getElementById(form.dataset.shows)?.scrollIntoView({ block: "nearest" });
      })
      .catch(() => tell("✗ Not done: the dashboard does not answer."))
      .finally(() => free(pressed));
  });
  addEventListener("pageshow", () => sent.forEach(free));
})();

/* A file that is chosen is shown where it could be pasted. */
(() => {
  for (const input of document.querySelectorAll("input[type=file][data-fills]")) {
    input.closest(".field").hidden = false;
    input.addEventListener("change", () => {
      const target = document.getElementById(input.dataset.fills);
      if (target && input.files.length) input.files[0].text().then((text) => (target.value = text));
    });
  }
})();
