// Says in the head of a page what the workers do; the queue says it without this script.
(() => {
  "use strict";
  const place = document.querySelector("#worker");
  if (!place) return;

  const renew = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/worker");
      if (!answer.ok) return;
      const line = new DOMParser().parseFromString(await answer.text(), "text/html");
      place.replaceChildren(...line.body.childNodes);
    } catch {
      place.replaceChildren("the server does not answer");
    }
  };
  renew();
  setInterval(renew, 5000);
})();
