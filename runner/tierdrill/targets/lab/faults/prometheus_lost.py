from tierdrill.targets.lab.watchers import watcher_fault

FAULT = watcher_fault("prometheus")
