// Sorting and filtering of tables, and the filters of the sample browser. Without it every row and sample is shown.
"use strict";
(() => {
  const MANY_ROWS = 8;
  const collator = new Intl.Collator("en", { numeric: true });

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function bodyRows(table) {
    return [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !row.matches(".heading, .fixed"));
  }

  function number(cell) {
    if (cell.dataset.value !== undefined) return parseFloat(cell.dataset.value);
    const shown = cell.querySelector(".value") ?? cell;
    return parseFloat(shown.textContent.replace(/[,<\s]/g, "").replace("−", "-"));
  }

  function compare(first, second, isText) {
    if (isText) return collator.compare(first.textContent.trim(), second.textContent.trim());
    return number(first) - number(second);
  }

  function sorted(rows, column, isText, sign) {
    const known = (row) => isText || !Number.isNaN(number(row.cells[column]));
    const ordered = rows.filter(known).sort((a, b) => sign * compare(a.cells[column], b.cells[column], isText));
    return [...ordered, ...rows.filter((row) => !known(row))];
  }

  function makeSortable(table) {
    // Above the heads of the columns there may be a row of names that several of them share.
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const original = [...table.tBodies].map((body) => [body, [...body.rows]]);
    const rows = bodyRows(table);

    function restore() {
      for (const [body, members] of original) body.append(...members);
      table.classList.remove("flat");
    }

    function sortBy(head, isText) {
      const steps = isText ? ["ascending", "descending", null] : ["descending", "ascending", null];
      const next = steps[(steps.indexOf(head.getAttribute("aria-sort")) + 1) % steps.length];
      for (const other of heads) other.removeAttribute("aria-sort");
      restore();
      if (next === null) return;
      head.setAttribute("aria-sort", next);
      table.classList.add("flat");
      table.tBodies[0].prepend(...sorted(rows, head.cellIndex, isText, next === "ascending" ? 1 : -1));
    }

    for (const head of heads.filter((cell) => cell.matches("th"))) {
      const isText = head.cellIndex === 0 || head.classList.contains("left");
      const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
      button.addEventListener("click", () => sortBy(head, isText));
      head.append(button);
    }
  }

  function makeFilterable(table) {
    const rows = bodyRows(table);
    if (rows.length < MANY_ROWS) return;
    const count = make("span", { className: "count" });
    count.setAttribute("role", "status");
    const input = make("input", { type: "search", autocomplete: "off" });
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      count.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
    const label = make("label", {}, "Filter ", input);
    (table.closest(".scroll") ?? table).before(make("p", { className: "filter" }, label, count));
  }

  function browseSamples(form) {
    const cards = [...document.querySelectorAll("#examples .example")];
    const texts = new Map(cards.map((card) => [card, card.textContent.toLowerCase()]));
    const status = form.querySelector("[role=status]");
    const none = document.querySelector("#examples .none");
    const turns = [...form.querySelectorAll(".turns button")];

    function isVerdict(found, asked) {
      return !asked || found === asked || (asked === "not right" && !["right", "absent"].includes(found));
    }

    // Whether the two models' answers to a sample are what is asked of each.
    function agrees(card, wanted, first, second) {
      const verdicts = card.dataset.verdicts.split(" ");
      return (
        isVerdict(verdicts[Number(wanted.get("first"))], first) &&
        isVerdict(verdicts[Number(wanted.get("second"))], second)
      );
    }

    // Whether all other filters let the sample through.
    function isAsked(card, wanted) {
      return (
        ["task", "kind"].every((name) => !wanted.get(name) || card.dataset[name] === wanted.get(name)) &&
        texts.get(card).includes(wanted.get("text").trim().toLowerCase())
      );
    }

    function apply() {
      const wanted = new FormData(form);
      const asked = cards.filter((card) => isAsked(card, wanted));
      const [first, second] = [wanted.get("first_verdict"), wanted.get("second_verdict")];
      const shown = new Set(asked.filter((card) => agrees(card, wanted, first, second)));
      for (const card of cards) card.hidden = !shown.has(card);
      for (const button of turns) {
        const turn = button.dataset;
        const fits = asked.filter((card) => agrees(card, wanted, turn.first, turn.second));
        button.querySelector(".number").textContent = fits.length;
        button.setAttribute("aria-pressed", turn.first === first && turn.second === second);
      }
      status.textContent = `${shown.size} of ${cards.length} samples`;
      none.hidden = shown.size > 0;
    }

    function toggle(button) {
      const { first, second } = button.getAttribute("aria-pressed") === "true" ? { first: "", second: "" } : button.dataset;
      form.elements.first_verdict.value = first;
      form.elements.second_verdict.value = second;
      apply();
    }

    for (const button of turns) button.addEventListener("click", () => toggle(button));
    form.hidden = false;
    // Not every way of choosing from a list sends both.
    for (const kind of ["input", "change"]) form.addEventListener(kind, apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    // The fields have their first values only after the event.
    form.addEventListener("reset", () => setTimeout(apply));
    apply();
  }

  for (const table of document.querySelectorAll("table")) {
    if (table.tHead && bodyRows(table).length > 1) makeSortable(table);
    if (table.tHead) makeFilterable(table);
  }
  for (const form of document.querySelectorAll("form.browser")) browseSamples(form);
})();
