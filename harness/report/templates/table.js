"use strict";
// Search, filters, sorting and arrow keys of the table. It says what is shown, and never changes a cell.

const byId = (id) => document.getElementById(id);

function setUpTable() {
  const table = document.querySelector(".matrix table");
  const body = table.tBodies[0];
  const columns = [...table.tHead.rows[0].cells].slice(2);
  const filters = byId("filters");
  const value = (id) => byId(id)?.value ?? "";

  const outcomeOf = (link) => [...link.classList].find((name) => name.startsWith("o-")).slice(2);
  const rows = [...body.rows].map((tr, order) => ({
    tr,
    order,
    words: `${tr.dataset.name} ${tr.dataset.names}`.toLowerCase(),
    cells: [...tr.cells].slice(2).map((td) => ({
      td,
      links: [...td.querySelectorAll("a")].map((link) => ({ link, outcome: outcomeOf(link), ...link.dataset })),
    })),
  }));

  function apply() {
    const [outcome, judgement, domain, backend, api, cause] =
      ["outcome", "judgement", "domain", "backend", "api", "cause"].map(value);
    const words = value("search").toLowerCase().split(/\s+/).filter(Boolean);
    const isShown = columns.map(({ dataset }) => (!backend || dataset.backend === backend) && (!api || dataset.api === api));
    columns.forEach((th, index) => { th.hidden = !isShown[index]; });
    const fits = (one) =>
      (!outcome || (outcome === "not passed" ? !["passed", "repaired"].includes(one.outcome) : one.outcome === outcome)) &&
      (!judgement || one.judgement === judgement) &&
      (!cause || one.cause === cause);
    let cellCount = 0, rowCount = 0;
    for (const row of rows) {
      const isNamed = (!domain || row.tr.dataset.domain === domain) && words.every((word) => row.words.includes(word));
      let fitting = 0;
      row.cells.forEach(({ td, links }, index) => {
        td.hidden = !isShown[index];
        for (const one of links) {
          const good = fits(one);
          one.link.classList.toggle("dim", !good);
          fitting += good && isShown[index];
        }
      });
      row.tr.hidden = !(isNamed && fitting);
      if (!row.tr.hidden) { rowCount += 1; cellCount += fitting; }
    }
    byId("count").textContent = `${cellCount.toLocaleString("en")} cells in ${rowCount.toLocaleString("en")} of ${rows.length.toLocaleString("en")} types`;
    keepOneInTabOrder();
  }

  // --- sorting: by name, by domain, or by a column: what passed first, the fastest of it before the slower
  const ranks = ["passed", "repaired", "mismatch", "failed", "crashed", "timeout", "out-of-memory"];
  function sortKey(row, key) {
    if (key === "name") return row.order;
    if (key === "domain") return row.tr.dataset.domain;
    const [one] = row.cells[Number(key)].links;
    if (!one) return 1e9;
    const rank = ranks.indexOf(one.outcome);
    return (rank < 0 ? ranks.length : rank) * 1e6 + Number(one.p50 ?? 0);
  }
  function sortBy(th) {
    const descending = th.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    th.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const keyed = rows.map((row) => [sortKey(row, th.dataset.key), row]);
    keyed.sort(([a, one], [b, other]) => (a < b ? -1 : a > b ? 1 : 0) * (descending ? -1 : 1) || one.order - other.order);
    body.append(...keyed.map(([, row]) => row.tr));
  }
  for (const th of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    button.addEventListener("click", () => sortBy(th));
    th.append(button);
  }

  // --- keys: one cell is in the tab order, arrows go on from it; "/" searches
  function keepOneInTabOrder() {
    if (current.closest("[hidden]")) focusOn(body.querySelector("tr:not([hidden]) td:not([hidden]) a") ?? current, false);
  }
  function focusOn(link, focus = true) {
    current.tabIndex = -1;
    current = link;
    current.tabIndex = 0;
    if (focus) current.focus();
  }
  function neighbour(link, key) {
    const td = link.closest("td");
    const visible = (element, next) => { do element = element?.[next]; while (element?.hidden); return element; };
    const vertical = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[key];
    if (vertical) {
      for (let tr = td.parentElement; (tr = visible(tr, vertical)); ) {
        const found = tr.cells[td.cellIndex].querySelector("a");
        if (found) return found;
      }
      return null;
    }
    const side = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[key];
    if (link[side]) return link[side];
    for (let cell = td; (cell = visible(cell, side)); ) {
      const found = cell.querySelector("a");
      if (found) return found;
    }
    return null;
  }
  let current = body.querySelector("a") ?? document.createElement("a");
  body.querySelectorAll("a").forEach((link) => { link.tabIndex = -1; });
  current.tabIndex = 0;
  body.addEventListener("focusin", (event) => { if (event.target.matches("a.cell")) focusOn(event.target, false); });
  body.addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow") || !event.target.matches("a.cell")) return;
    event.preventDefault();
    const next = neighbour(event.target, event.key);
    if (next) focusOn(next);
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, select, textarea");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || byId("detail").open) return;
    event.preventDefault();
    byId("search").focus();
  });

  filters.addEventListener("input", apply);
  filters.addEventListener("change", apply);  // some assistive tools and drivers send "input" before a choice is made
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(apply));
  filters.hidden = false;
  for (const button of document.querySelectorAll(".show-cause")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      filters.reset();
      byId("cause").value = button.dataset.cause;
      setTimeout(apply);  // after the reset's own
      byId("matrix").scrollIntoView();
      byId("cause").focus({ preventScroll: true });
    });
  }
  apply();
}

function setUpTheme() {
  const button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = root.style.colorScheme || (dark.matches ? "dark" : "light");
    root.style.colorScheme = now === "dark" ? "light" : "dark";
  });
}

setUpTable();
setUpTheme();
