"use strict";
/* Live parts: what the server sends by id takes the place of what the element holds. */
(() => {
  const place = document.querySelector("[data-live]");
  const link = document.getElementById("link");
  if (!place || !link) return;
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
      const open = new Set([...element.querySelectorAll("details[open][id]")].map((one) => one.id));
      element.innerHTML = part.html;
      for (const one of element.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = true;
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
  connect();
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
