// Shows what a submission would do while it is typed, and what is in a file before it is sent.
// Without this script, the forms work and the server answers the same when they are sent.
(() => {
  "use strict";
  const place = document.querySelector("#preview");
  if (!place) return;
  const form = place.closest("form");
  let waiting, running;

  const show = (text) => {
    place.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  };
  const say = (words) => {
    const line = document.createElement("p");
    line.className = "note";
    line.textContent = words;
    place.replaceChildren(line);
  };
  const load = async (address, options) => {
    running?.abort();
    running = new AbortController();
    try {
      const answer = await fetch(address, { ...options, signal: running.signal, headers: { Accept: "text/html" } });
      const text = await answer.text();
      const page = new DOMParser().parseFromString(text, "text/html");
      if (answer.ok || page.querySelector("main") === null) show(text);
      else say(page.querySelector("main bdi")?.textContent ?? "This cannot be checked now.");
    } catch (error) {
      if (error.name !== "AbortError") say("The server does not answer.");
    }
  };

  const model = form.querySelector("#model");
  if (model) {
    const check = () => {
      if (!model.value.trim()) {
        running?.abort();
        place.replaceChildren();
        return;
      }
      const fields = new URLSearchParams(new FormData(form));
      for (const name of ["csrf", "note", "contact"]) fields.delete(name);
      load(`/submit/check?${fields}`);
    };
    const later = (event) => {
      if (event.target.name === "note" || event.target.name === "contact") return;
      clearTimeout(waiting);
      waiting = setTimeout(check, 300);
    };
    form.addEventListener("input", later);
    check();
  }

  const file = form.querySelector("input[type=file]");
  if (file) {
    const look = () => {
      if (!file.files.length) return;
      say("Reading the file …");
      const body = new FormData();
      for (const [name, value] of [["csrf", form.elements.csrf.value], ["preview", "1"], ["file", file.files[0]]])
        body.append(name, value);
      load(form.action, { method: "POST", body });
    };
    file.addEventListener("change", look);
    const drop = form.querySelector(".drop");
    drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (!event.dataTransfer.files.length) return;
      file.files = event.dataTransfer.files;
      look();
    });
    if (file.files.length) look();
  }
})();
