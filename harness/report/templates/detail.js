// A cell's details: opened by its link, so that every cell has an address that can be sent to somebody.

// An element with its text or children; text is only ever set as text.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function setUpDetails() {
  const dialog = byId("detail");
  const addressOf = (cell) => "#" + [cell.model_type, cell.backend, cell.stack, cell.api].map(encodeURIComponent).join("/");
  let cells = null;  // parsed when the first cell is opened
  function find(address) {
    cells ??= new Map(JSON.parse(byId("details").textContent).map((cell) => [addressOf(cell), cell]));
    return cells.get(address);
  }

  const factList = (facts) => make("dl", {}, ...facts.flatMap(([label, value]) => [make("dt", {}, label), make("dd", {}, value)]));
  const titled = (title, ...content) => [make("h3", {}, title), ...content];

  function copyable(text) {
    const pre = make("pre", { tabindex: "0" }, text);
    const box = make("div", { class: "copyable" }, make("button", { type: "button", class: "copy" }, "Copy"), pre);
    return box;
  }

  function samples(values) {
    const highest = Math.max(...values);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "spark");
    svg.setAttribute("viewBox", `0 0 ${values.length * 10} 40`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    values.forEach((value, index) => {
      const bar = document.createElementNS(svg.namespaceURI, "rect");
      const height = Math.max(1, (38 * value) / highest);
      const box = { x: index * 10 + 1, y: 40 - height, width: 8, height };
      for (const [key, number] of Object.entries(box)) bar.setAttribute(key, number);
      svg.append(bar);
    });
    return svg;
  }

  function* content(cell) {
    const close = make("button", { type: "button", "aria-label": "Close" }, "Close");
    close.addEventListener("click", () => dialog.close());
    const title = make("div", {}, make("h2", { id: "detail-title" }, cell.model_type), make("p", { class: "soft" }, cell.title));
    yield make("div", { class: "title" }, title, close);
    yield make("p", { class: `big o-${cell.outcome}` }, make("i", { "aria-hidden": "true" }, cell.symbol), ` ${cell.verdict} `,
      make("span", { class: "chip" }, cell.judgement));
    if (cell.reason) yield make("p", {}, cell.reason);
    if (cell.expected) yield make("p", { class: "soft" }, `data/expectations/ expects ${cell.expected}`);
    yield* titled("Reproduce", copyable(cell.reproduce));
    if (cell.error) {
      yield* titled("Error", factList(cell.error));
      const same = [...cells.values()].filter((other) => other.signature === cell.signature).length - 1;
      if (same) yield make("p", { class: "soft" }, `${same} other ${same === 1 ? "cell has" : "cells have"} this signature.`);
    }
    if (cell.traceback) yield make("details", { open: "" }, make("summary", {}, "Traceback"), copyable(cell.traceback));
    if (cell.log) yield make("details", {}, make("summary", {}, "End of the log"), copyable(cell.log));
    yield* titled("Cell", factList(cell.about ?? []));
    if (cell.figures) {
      yield* titled("Figures", factList(cell.figures));
      if (cell.samples) yield samples(cell.samples);
      const remarks = [cell.samples ? "Bars: every timed call, in order." : "", cell.contended ? "Contended: other children ran beside, so these figures are not for comparing speed." : ""];
      yield make("p", { class: "soft" }, `${document.querySelector(".note b").textContent}. ${remarks.join(" ")}`);
    }
    if (cell.comparison) yield* titled("Comparison", factList(cell.comparison));
    if (cell.outputs) {
      const head = ["output", "shape", "type", "largest difference", "relative"].map((name) => make("th", { scope: "col" }, name));
      const lines = cell.outputs.map((row) => make("tr", {}, ...row.map((value) => make("td", {}, value))));
      yield make("div", { class: "wide" }, make("table", { class: "plain" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines)));
    }
    if (cell.output) yield* titled("What came out", make("pre", { tabindex: "0" }, cell.output));
    if (cell.proof) yield* titled("Proof", factList(cell.proof));
    const others = [...cells.values()].filter((other) => other.model_type === cell.model_type && other !== cell);
    if (others.length) {
      const link = (other) => make("li", {}, make("a", { href: addressOf(other) }, other.title), ` ${other.symbol} ${other.verdict}`);
      yield* titled("This type elsewhere", make("ul", {}, ...others.map(link)));
    }
  }

  function show() {
    const cell = location.hash.includes("/") ? find(location.hash) : null;
    if (!cell) { if (dialog.open) dialog.close(); return; }
    dialog.replaceChildren(...content(cell));
    dialog.scrollTop = 0;
    if (!dialog.open) dialog.showModal();
  }
  dialog.addEventListener("close", () => {
    const link = document.querySelector(`a.cell[href="${CSS.escape(location.hash)}"]`);
    // Back to an address without a cell, and the place in the page stays.
    if (location.hash.includes("/")) history.replaceState(null, "", "#matrix");
    link?.focus({ preventScroll: true });
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", show);
  show();
}

async function copy(text, pre) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(pre);  // where the clipboard is closed to pages, the text is at least selected
    return document.execCommand("copy");
  }
}

function setUpCopying() {
  document.querySelectorAll(".copy").forEach((button) => { button.hidden = false; });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const pre = button.parentElement.querySelector("pre");
    const isCopied = await copy(pre.textContent, pre);
    button.textContent = isCopied ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

setUpDetails();
setUpCopying();
