// Enhancement only: everything also works without this script, by loading the page again.
(() => {
  "use strict";
  const table = document.querySelector(".standings table");
  const search = document.querySelector("#q");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const whole = !document.querySelector(".pager");

  // typing filters the rows of this page; Enter asks the server for all pages
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const name = row.querySelector("th").dataset.name.toLowerCase();
      row.hidden = !words.every((word) => name.includes(word));
    }
  });

  // at most two boxes, so that the button compares exactly what is ticked
  const boxes = [...table.querySelectorAll("input[name=m]")];
  const ticked = [];
  table.addEventListener("change", (event) => {
    if (event.target.name !== "m") return;
    const at = ticked.indexOf(event.target);
    if (at >= 0) ticked.splice(at, 1);
    if (event.target.checked) ticked.push(event.target);
    if (ticked.length > 2) ticked.shift().checked = false;
  });
  ticked.push(...boxes.filter((box) => box.checked));

  // sort without loading, if the table has a single page
  if (!whole) return;
  const number = (cell) => parseFloat(cell.dataset.value ?? cell.textContent.replace("−", "-"));
  const key = (cell) => cell.dataset.name?.toLowerCase() ?? number(cell);
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const unknown = (value) => Number.isNaN(value);
  const ranks = new Map(rows.map((row) => [row, number(row.cells[0])]));
  const tie = (row) => row.cells[0].querySelector(".unseen").textContent;
  table.tHead.addEventListener("click", (event) => {
    const link = event.target.closest("th a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const head = link.closest("th");
    const at = head.cellIndex;
    const first = at < 2 ? "ascending" : "descending";
    const turned = { ascending: "descending", descending: "ascending" }[head.ariaSort] ?? first;
    const sign = turned === "ascending" ? 1 : -1;
    for (const other of table.tHead.rows[0].cells) {
      if (other.hasAttribute("aria-sort")) other.ariaSort = "none";
      other.querySelector("a [aria-hidden]")?.remove();
    }
    head.ariaSort = turned;
    link.insertAdjacentHTML("beforeend", `<span aria-hidden="true"> ${sign > 0 ? "↑" : "↓"}</span>`);
    const values = new Map(rows.map((row) => [row, key(row.cells[at])]));
    rows.sort((one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      return unknown(a) - unknown(b) || sign * order(a, b) || ranks.get(one) - ranks.get(other); // as the server does
    });
    rows.forEach((row, place) => row.classList.toggle("group", at === 0 && place > 0 && tie(row) !== tie(rows[place - 1])));
    table.tBodies[0].append(...rows);
    const address = new URL(link.href);
    address.searchParams.set("order", sign > 0 ? "asc" : "desc");
    history.replaceState(null, "", address);
    for (const file of document.querySelectorAll(".take a[href*='/board.']")) file.search = address.search;
  });
})();
