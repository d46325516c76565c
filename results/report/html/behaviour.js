/* What readers do with the page: order and filter rows, single out an arm, ask for another grid, copy, go dark.
   Text is only ever set as text. Without this script everything is still there to be read. */
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("lives");

  /* Light and dark: as the system has it, until the reader chooses. */
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("joulemark-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("joulemark-theme", root.dataset.theme); } catch { /* a page without storage forgets */ }
    showTheme();
  });
  system.addEventListener("change", showTheme);
  showTheme();

  /* Rows in the order of a column: figures by what is behind them, words as words, what is missing last. */
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const order = (table, column, direction) => {
    const body = table.tBodies[0];
    const isNumeric = table.tHead.rows[0].cells[column].classList.contains("number");
    const keyed = [...body.rows].map((row) => {
      const cell = row.cells[column];
      const figure = cell.dataset.v === undefined ? NaN : Number(cell.dataset.v);
      return { row, figure, text: cell.textContent.trim(), lacks: isNumeric && Number.isNaN(figure) };
    });
    keyed.sort((a, b) => {
      if (a.lacks !== b.lacks) return a.lacks ? 1 : -1;
      const difference = isNumeric && !a.lacks ? a.figure - b.figure : collator.compare(a.text, b.text);
      return direction * difference;
    });
    body.append(...keyed.map(({ row }) => row));
  };
  for (const table of all("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const ascends = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", ascends ? "ascending" : "descending");
        order(table, column, ascends ? 1 : -1);
      });
    });
  }

  /* Only rows that hold the words and have every property asked for. */
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const chips = all(".chips button");
  const rows = all("table.filtered tbody tr").map((row) => ({
    row, words: row.textContent.toLocaleLowerCase(), tags: row.dataset.tags.split(" "),
  }));
  const narrow = () => {
    const words = filter.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const tags = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.tag);
    let count = 0;
    for (const one of rows) {
      const fits = words.every((word) => one.words.includes(word)) && tags.every((tag) => one.tags.includes(tag));
      one.row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    for (const table of all("table.filtered")) {
      table.closest(".sheet").hidden = [...table.tBodies[0].rows].every((row) => row.hidden) && words.length + tags.length > 0;
    }
    shown.textContent = words.length + tags.length ? `${count} of ${rows.length} rows` : "";
  };
  if (filter) {
    filter.addEventListener("input", narrow);
    filter.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { filter.value = ""; narrow(); }
    });
    for (const chip of chips) {
      chip.addEventListener("click", () => {
        chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
        narrow();
      });
    }
  }

  /* One arm of a picture, singled out by its entry in the legend. */
  const single = (card, key) => {
    for (const mark of all(".drawing [data-k]", card)) mark.classList.toggle("aside", key !== null && mark.dataset.k !== key);
  };
  for (const pick of all(".pick")) {
    const card = pick.closest(".card");
    const chosen = () => card.querySelector('.pick[aria-pressed="true"]')?.dataset.k ?? null;
    pick.addEventListener("click", () => {
      const isOn = pick.getAttribute("aria-pressed") === "true";
      all(".pick", card).forEach((other) => other.setAttribute("aria-pressed", "false"));
      pick.setAttribute("aria-pressed", String(!isOn));
      single(card, chosen());
    });
    pick.addEventListener("pointerenter", () => single(card, pick.dataset.k));
    pick.addEventListener("pointerleave", () => single(card, chosen()));
  }

  /* What a mark is, beside the pointer. */
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (!mark) { hide(); return; }
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8));
    const below = event.clientY + 16;
    tip.style.left = `${left}px`;
    tip.style.top = `${below + height > innerHeight ? event.clientY - height - 12 : below}px`;
  });
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  /* Grams on another grid: joules / 3.6e6 × g/kWh × PUE, told in the words of the tables. */
  const calculator = document.getElementById("calculator");
  const UNITS = [[1e3, "kg"], [1, "g"], [1e-3, "mg"], [1e-6, "µg"], [1e-9, "ng"]];
  const grams = (value) => {
    const [factor, unit] = UNITS.find(([step]) => value >= step * 0.9995) ?? UNITS[UNITS.length - 1];
    const told = value === 0 ? "0" : (value / factor).toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
    return `${told}\u00a0${unit}`;
  };
  if (calculator) {
    const [grid, intensity, pue] = ["grid", "intensity", "pue"].map((name) => document.getElementById(name));
    const said = document.getElementById("calculated");
    const calculate = () => {
      const known = intensity.value !== "" && pue.value !== "" && intensity.checkValidity() && pue.checkValidity();
      for (const cell of all("[data-j]")) {
        const value = known ? (1000 * Number(cell.dataset.j)) / 3.6e6 * Number(intensity.value) * Number(pue.value) : NaN;
        if (known) cell.dataset.v = String(value); else delete cell.dataset.v;
        cell.textContent = known ? (cell.classList.contains("modelled") ? "≈\u00a0" : "") + grams(value) : "—";
      }
      said.textContent = known ? `“what if” below is by ${intensity.value} g/kWh and PUE ${pue.value}`
        : "give an intensity of 0 or more and a PUE of 1 or more";
    };
    grid.addEventListener("change", () => { if (grid.value) { intensity.value = grid.value; calculate(); } });
    for (const input of [intensity, pue]) input.addEventListener("input", () => { grid.value = ""; calculate(); });
    calculator.addEventListener("submit", (event) => event.preventDefault());
    calculate();
  }

  /* Commands to the clipboard; where a page may not, they are selected. */
  const copied = document.getElementById("copied");
  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const code = document.getElementById(button.dataset.copies);
      try {
        await navigator.clipboard.writeText(code.textContent);
        copied.textContent = "copied";
        button.firstChild.textContent = "Copied";
        setTimeout(() => { button.firstChild.textContent = "Copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren(code);
        copied.textContent = "selected, press the keys that copy";
      }
    });
  }

  /* Where in the page the reader is. */
  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const visible = new Set();
  const watch = new IntersectionObserver((changes) => {
    for (const change of changes) visible[change.isIntersecting ? "add" : "delete"](change.target.id);
    const here = [...links.keys()].find((ident) => visible.has(ident));
    for (const [ident, link] of links) {
      if (ident === here) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-10% 0px -60% 0px" });
  all(".chapter").forEach((chapter) => watch.observe(chapter));

  /* On paper everything is open. */
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])");
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
})();
