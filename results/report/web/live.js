// Keeps a page as fresh as its store: asks for it again when the server says that something has landed.
// Hidden pages let go of the server, so that nobody looks at the store for a page that nobody sees.
"use strict";

(() => {
  const RETRY_MS = 3000;
  const POLL_MS = 5000;
  const link = document.getElementById("link");
  const linkText = document.getElementById("link-text");
  let state = document.body.dataset.state;
  let events = null;
  let pollTimer = 0;
  let retryTimer = 0;
  let isAsking = false;
  let askAgain = false;

  const tell = (kind, text) => {
    if (link.dataset.kind !== kind) link.dataset.kind = kind;
    if (linkText.textContent !== text) linkText.textContent = text;
  };

  const retry = () => {
    clearTimeout(retryTimer);
    retryTimer = setTimeout(refresh, RETRY_MS);
  };

  // Puts in what came, keeping where the reader was: focus, and tables scrolled sideways.
  const show = (fresh) => {
    const here = document.getElementById("content");
    const there = fresh.getElementById("content");
    if (!there) return;
    const focused = document.activeElement && here.contains(document.activeElement) ? document.activeElement : null;
    const focusedId = focused && focused.id;
    const focusedHref = focused && focused.getAttribute("href");
    const scrolled = new Map([...here.querySelectorAll(".scroll")].map((part) => [part.id, part.scrollLeft]));
    here.replaceChildren(...there.childNodes);
    for (const part of here.querySelectorAll(".scroll")) part.scrollLeft = scrolled.get(part.id) || 0;
    const again =
      (focusedId && document.getElementById(focusedId)) ||
      (focusedHref && [...here.querySelectorAll("a[href]")].find((one) => one.getAttribute("href") === focusedHref));
    if (again) again.focus({ preventScroll: true });
    document.title = fresh.title;
    document.getElementById("news").textContent = there.dataset.news || "";
    state = fresh.body.dataset.state;
    document.body.dataset.state = state;
  };

  const refresh = async () => {
    if (isAsking) {
      askAgain = true;
      return;
    }
    isAsking = true;
    try {
      do {
        askAgain = false;
        const answer = await fetch(location.href, { cache: "no-cache" });
        const text = await answer.text();
        if ((answer.headers.get("Content-Type") || "").startsWith("text/html")) {
          const fresh = new DOMParser().parseFromString(text, "text/html");
          if (!fresh.getElementById("link")) {
            location.reload(); // what was waited for is there, and is another page
            return;
          }
          document.body.toggleAttribute("data-waits", "waits" in fresh.body.dataset);
          show(fresh);
        }
        if (answer.status === 503) retry();
      } while (askAgain);
    } catch {
      tell("lost", "the server does not answer");
      retry();
    } finally {
      isAsking = false;
    }
  };

  const heard = (text) => {
    const told = JSON.parse(text);
    if (told.state !== state) refresh();
  };

  const poll = async () => {
    try {
      const answer = await fetch("/state", { cache: "no-store" });
      heard(await answer.text());
      tell("live", "up to date, looking every few seconds");
    } catch {
      tell("lost", "the server does not answer");
    }
    if (!document.hidden) pollTimer = setTimeout(poll, POLL_MS);
  };

  const watch = () => {
    if ("waits" in document.body.dataset) retry();
    if (!("EventSource" in window)) {
      poll();
      return;
    }
    events = new EventSource("/events");
    events.addEventListener("open", () => tell("live", "live"));
    events.addEventListener("state", (event) => heard(event.data));
    events.addEventListener("error", () => {
      tell("lost", "the server does not answer");
      if (events && events.readyState === EventSource.CLOSED) {
        rest();
        poll();
      }
    });
  };

  const rest = () => {
    if (events) events.close();
    events = null;
    clearTimeout(pollTimer);
    clearTimeout(retryTimer);
  };

  document.addEventListener("visibilitychange", () => {
    rest();
    if (!document.hidden) watch();
  });
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => {
    if (event.persisted) watch();
  });
  if (!document.hidden) watch();
})();
