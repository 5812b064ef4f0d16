// On every page: light or dark as the visitor chose, set before the page is drawn; buttons that copy; what workers do.
(() => {
  "use strict";
  const root = document.documentElement;
  const kept = () => {
    try {
      return localStorage.getItem("theme") ?? "";
    } catch {
      return ""; // storage is switched off
    }
  };
  const show = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    const dark = theme === "dark";
    for (const source of document.querySelectorAll("picture source[srcset*='theme=dark']")) {
      source.media = theme ? (dark ? "all" : "not all") : "(prefers-color-scheme: dark)";
    }
  };
  show(kept());
  document.addEventListener("DOMContentLoaded", () => {
    show(kept());
    const calls = document.querySelector(".calls");
    if (!calls) return; // a static copy
    const next = { "": "dark", dark: "light", light: "" };
    const words = { "": "as the system", dark: "dark", light: "light" };
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const label = () => {
      button.textContent = { "": "◐", dark: "●", light: "○" }[kept()];
      button.ariaLabel = `Colours: ${words[kept()]}. Change`;
      button.title = button.ariaLabel;
    };
    button.addEventListener("click", () => {
      localStorage.setItem("theme", next[kept()]);
      show(kept());
      label();
    });
    label();
    calls.append(button);
  });

  // what the workers do, in the head of the page; the queue says it without this script
  document.addEventListener("DOMContentLoaded", () => {
    const place = document.querySelector("#worker");
    if (!place) return;
    const renew = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch("/worker");
        if (!answer.ok) return;
        const line = new DOMParser().parseFromString(await answer.text(), "text/html");
        const waits = Number(line.querySelector("#waiting")?.value);
        const queue = document.querySelector("#queue");
        queue.replaceChildren("Queue");
        if (waits) queue.append(Object.assign(document.createElement("sup"), { textContent: waits }));
        queue.title = waits ? `${waits} waiting for a worker` : "";
        place.replaceChildren(...line.body.childNodes);
      } catch {
        place.replaceChildren("the server does not answer");
      }
    };
    renew();
    setInterval(renew, 10_000);
  });

  // a link to a part that is folded opens it, in browsers that do not do so by themselves
  addEventListener("hashchange", () => {
    const folded = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
    if (folded) folded.open = true;
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (!navigator.clipboard) return; // only where the address is https or this machine
    for (const block of document.querySelectorAll("pre.command, pre.copied")) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = "Copy"), 2000);
      });
      block.append(button);
    }
  });
})();
