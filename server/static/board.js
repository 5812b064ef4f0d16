// The board without loading: type to search, click to sort and page, tick to draw. Without this script pages load.
(() => {
  "use strict";
  const parts = ["charts", "choices", "table"];
  const part = (name, root = document) => root.querySelector(`[data-part="${name}"]`);
  const controls = document.querySelector(".controls");
  if (!controls || !part("table")) return;
  let newest = 0;
  let shown = location.search;

  // fetch an address of the board, and replace those parts of the page that differ
  const show = async (address, keep = "replace") => {
    const turn = ++newest;
    shown = new URL(address, location.href).search;
    // the address first: what is clicked before the answer comes adds to it
    if (keep === "push") history.pushState(null, "", address);
    else if (keep === "replace") history.replaceState(null, "", address);
    part("table").ariaBusy = "true";
    const answer = await fetch(address).catch(() => null);
    if (turn !== newest) return; // a later one is on its way
    if (!answer?.ok) {
      location.assign(address); // the browser says what is wrong
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (turn !== newest) return;
    part("table").ariaBusy = null;
    for (const name of parts) {
      const [old, now] = [part(name), part(name, fresh)];
      if (old && now) old.replaceChildren(...now.childNodes);
    }
    const [mine, theirs] = [controls, fresh.querySelector(".controls")];
    if (theirs) {
      for (const field of mine.querySelectorAll("input[type=hidden]")) field.remove();
      for (const field of theirs.querySelectorAll("input[type=hidden]")) mine.prepend(field);
      for (const select of mine.querySelectorAll("select")) {
        const now = theirs.querySelector(`#${select.id}`);
        if (now) select.value = now.value;
      }
    }
    focus?.();
  };

  // the form as an address, without what is empty
  const asked = () => {
    const fields = new URLSearchParams(new FormData(controls));
    for (const [name, value] of [...fields]) if (value === "") fields.delete(name, value);
    if (fields.get("sort") === "rank") fields.delete("sort");
    const text = fields.toString();
    return text ? `/?${text}` : "/";
  };

  let waiting = 0;
  controls.addEventListener("input", (event) => {
    clearTimeout(waiting);
    const typed = event.target.matches("input:not([type=checkbox])");
    waiting = setTimeout(() => show(asked()), typed ? 200 : 0);
  });
  controls.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    show(asked());
  });

  // links to the board itself: styles, columns, heads, pages, a tick taken away
  let focus = null;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-part] a[href]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const address = new URL(link.href);
    if (address.origin !== location.origin || address.pathname !== "/") return;
    event.preventDefault();
    const name = link.closest("[data-part]").dataset.part;
    const words = link.textContent.trim().replace(/ [↑↓]$/, "");
    const label = link.ariaLabel;
    focus = () => {
      focus = null;
      const same = [...part(name).querySelectorAll("a[href]")].find(
        (one) => (label && one.ariaLabel === label) || one.textContent.trim().replace(/ [↑↓]$/, "") === words,
      );
      same?.focus({ preventScroll: true });
      if (link.closest(".pager")) part("table").scrollIntoView();
    };
    show(address.pathname + address.search, "push");
  });
  addEventListener("popstate", () => {
    if (location.search === shown) return; // a jump within the page, as to the content
    document.querySelector("#q").value = new URLSearchParams(location.search).get("q") ?? "";
    show(location.pathname + location.search, "");
  });

  // ticks: at most six, kept in the address, drawn at once
  const most = 6;
  document.addEventListener("change", (event) => {
    if (!event.target.matches(".standings input[name=m]")) return;
    const address = new URL(location.href);
    const ticked = address.searchParams.getAll("m").filter((one) => one !== event.target.value);
    if (event.target.checked && ticked.length >= most) {
      event.target.checked = false;
      return; // the bar says how many are ticked, and that no more can be
    }
    if (event.target.checked) ticked.push(event.target.value);
    address.searchParams.delete("m");
    for (const one of ticked) address.searchParams.append("m", one);
    const at = event.target.value;
    focus = () => {
      focus = null;
      document.querySelector(`.standings input[value="${CSS.escape(at)}"]`)?.focus({ preventScroll: true });
    };
    show(address.pathname + address.search);
  });

  // / jumps to the search, as on many sites
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    document.querySelector("#q").focus();
  });
})();
