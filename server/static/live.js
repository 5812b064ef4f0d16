// Updates a page live; without this script, the page reloads itself every few seconds.
(() => {
  "use strict";
  const live = document.querySelector("#live");
  if (!live) return;
  const part = (name) => live.querySelector(`[data-live="${name}"]`);

  // replace the changing part of the page by its newest version
  const renew = async () => {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("#live");
    if (!fresh) return;
    document.title = page.title;
    live.dataset.state = fresh.dataset.state ?? "";
    live.dataset.every = fresh.dataset.every ?? "";
    live.replaceChildren(...fresh.childNodes);
  };

  if (live.dataset.every) {
    const timer = setInterval(() => {
      if (!live.dataset.every) clearInterval(timer);
      else if (!document.hidden && !live.contains(document.activeElement)) renew();
    }, 1000 * live.dataset.every);
    return;
  }
  if (!live.dataset.events) return;

  let heard = null; // time of the last heartbeat, by this machine's clock
  const ago = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`);
  const tick = () => {
    const place = part("age");
    if (place && heard !== null) place.textContent = `${ago(Math.round((performance.now() - heard) / 1000))} ago`;
  };
  setInterval(tick, 1000);

  const source = new EventSource(live.dataset.events);
  source.addEventListener("progress", (event) => {
    const news = JSON.parse(event.data);
    heard = news.age === null ? null : performance.now() - 1000 * news.age;
    const bar = part("bar");
    if (news.state !== live.dataset.state || (news.total && !bar)) {
      renew();
      return;
    }
    if (bar) [bar.max, bar.value] = [news.total, news.done];
    for (const name of ["items", "rate", "workers", "position"]) {
      const place = part(name);
      if (place) place.textContent = news[name] || "none yet";
    }
    tick();
  });
  source.addEventListener("over", () => {
    source.close();
    renew();
  });
})();
