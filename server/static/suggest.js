// Offers the names of models on this board while one is typed; without it, names are typed in full.
(() => {
  "use strict";
  const names = document.querySelector("#names");
  let waiting = 0;
  document.addEventListener("input", (event) => {
    if (event.target.getAttribute("list") !== "names") return;
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const answer = await fetch(`/api/v1/models?limit=20&q=${encodeURIComponent(event.target.value)}`);
      if (!answer.ok) return;
      const found = (await answer.json()).models;
      names.replaceChildren(...found.map((one) => Object.assign(document.createElement("option"), { value: one.name })));
    }, 200);
  });
})();
