
"use strict";
// Everything stands in the table; this only shows, hides and orders its rows.
(() => {
  const table = document.getElementById("reports");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const find = document.getElementById("find");
  const field = (name) => document.getElementById(name);
  const [words, severity, type, group, count] = ["words", "severity", "type", "group", "count"].map(field);
  const language = document.documentElement.lang || "en";
  const number = new Intl.NumberFormat(language);
  const texts = new Intl.Collator(language, { numeric: true });
  const rows = [...body.rows].map((row) => ({
    row,
    text: (row.textContent + " " + row.dataset.q).toLowerCase(),
    severity: row.dataset.s,
    type: row.dataset.t,
    groups: row.dataset.g.split(" "),
    keys: [...row.cells].map((cell) => ("v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent)),
  }));

  function show() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of rows) {
      const fits =
        (!severity.value || one.severity === severity.value) &&
        (!type.value || one.type === type.value) &&
        (!group.value || one.groups.includes(group.value)) &&
        wanted.every((word) => one.text.includes(word));
      if (one.row.hidden === fits) one.row.hidden = !fits;
      shown += fits;
    }
    const said = { shown: number.format(shown), all: number.format(rows.length) };
    count.textContent = count.dataset.words.replace(/\{(\w+)\}/g, (_, name) => said[name]);
  }

  function sort(place) {
    const head = heads[place];
    const now = head.getAttribute("aria-sort");
    const down = now ? now === "ascending" : "down" in head.dataset;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const way = down ? -1 : 1;
    rows.sort((one, other) => {
      const [left, right] = [one.keys[place], other.keys[place]];
      return way * (typeof left === "number" ? left - right : texts.compare(left, right));
    });
    body.append(...rows.map((one) => one.row));
  }

  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(place));
    table.style.setProperty("--name-" + place, JSON.stringify(head.textContent + ": "));
    head.replaceChildren(button);
  });
  words.addEventListener("input", show);
  for (const list of [severity, type, group]) list.addEventListener("change", show);
  find.addEventListener("submit", (event) => event.preventDefault());
  find.hidden = false;
  show();
})();
