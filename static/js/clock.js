// Lets elapsed and relative times go on between refreshes, in the words of swarm/templatetags/pages.py.

const startedAt = new WeakMap();

function clock(total) {
  const seconds = Math.round(total);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function ago(instant) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 10) return "just now";
  for (const [size, unit] of [[86_400, "d"], [3_600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${seconds} s ago`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  // The server's number and this page's clock: a wrong clock on either side does no harm.
  for (const element of document.querySelectorAll("[data-elapsed]")) {
    if (!startedAt.has(element)) startedAt.set(element, Date.now() - 1000 * Number(element.dataset.elapsed));
    write(element, clock((Date.now() - startedAt.get(element)) / 1000));
  }
  for (const element of document.querySelectorAll("time[data-until]")) {
    write(element, `${clock(Math.max(0, (Date.parse(element.dateTime) - Date.now()) / 1000))} left`);
  }
  for (const element of document.querySelectorAll("time[data-ago]")) {
    write(element, ago(element.dateTime));
  }
}

setInterval(() => document.hidden || tick(), 1000);
tick();
