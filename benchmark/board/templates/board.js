// Theme, sorting, filtering, searching and copying. The pages say everything without it.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  const kept = {
    read: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    write: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* a browser without storage */ } },
  };
  if (kept.read()) root.dataset.theme = kept.read();  // before anything is drawn

  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  function theme() {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", dark());
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      kept.write(root.dataset.theme);
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
  }

  // Rows move within their group only: a floor never stands between two methods. What has no number comes last.
  function sort(table, column, descending, numbers) {
    const sign = descending ? -1 : 1;
    const compare = (a, b) => {
      const [one, other] = [a.cells[column], b.cells[column]];
      if (!numbers) return sign * one.textContent.localeCompare(other.textContent, undefined, { numeric: true });
      const [x, y] = [one, other].map((cell) => "value" in cell.dataset ? Number(cell.dataset.value) : null);
      return x === null || y === null ? (x === null) - (y === null) : sign * (x - y);
    };
    for (const body of table.tBodies) {
      body.append(...[...body.rows].filter((row) => row.className !== "group").sort(compare));
    }
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const numbers = head.dataset.better !== "";
      const first = head.dataset.better === "1";  // the best first
      const now = head.getAttribute("aria-sort");
      const descending = now ? now !== "descending" : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(table, column, descending, numbers);
    }));
  }

  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (text, wanted) => wanted.every((word) => text.toLowerCase().includes(word));

  function filters(box) {
    const table = document.getElementById(box.dataset.for);
    const [input, select, output] = ["input", "select", "output"].map((name) => box.querySelector(name));
    const filter = () => {
      const wanted = words(input.value);
      let shown = 0, all = 0;
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => row.className !== "group");
        for (const row of rows) {
          const badge = row.querySelector(".badge");
          row.hidden = !has(row.textContent, wanted) || Boolean(select?.value && badge?.textContent !== select.value);
          shown += !row.hidden;
          all += 1;
        }
        body.hidden = rows.every((row) => row.hidden);
      }
      output.textContent = shown === all ? `${all} row${all === 1 ? "" : "s"}` : `${shown} of ${all} rows`;
    };
    input.addEventListener("input", filter);
    select?.addEventListener("change", filter);
    filter();
  }

  function search() {
    const [input, output] = ["search", "found"].map((id) => document.getElementById(id));
    if (!input) return;
    const lists = [...document.querySelectorAll("[data-list]")];
    input.addEventListener("input", () => {
      const wanted = words(input.value);
      let found = 0;
      for (const list of lists) {
        const items = [...list.querySelectorAll("li")];
        items.forEach((item) => { item.hidden = !has(item.textContent, wanted); });
        const left = items.filter((item) => !item.hidden).length;
        list.hidden = left === 0;
        const details = list.querySelector("details");
        if (details) details.open = wanted.length > 0;
        found += left;
      }
      output.textContent = wanted.length ? `${found} found` : "";
    });
  }

  function copies(button) {
    const text = button.previousElementSibling;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {  // no clipboard here: mark the text, so that the keyboard can copy it
        getSelection().selectAllChildren(text);
        button.textContent = "Marked";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  function charts(select) {
    const figures = [...document.querySelectorAll("[data-metric]")];
    const show = () => figures.forEach((figure) => { figure.hidden = figure.dataset.metric !== select.value; });
    select.addEventListener("change", show);
    show();
  }

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    document.querySelectorAll("table.sheet").forEach(sortable);
    document.querySelectorAll(".filters").forEach(filters);
    document.querySelectorAll(".copy").forEach(copies);
    document.querySelectorAll("[data-charts]").forEach(charts);
    search();
  });
})();
