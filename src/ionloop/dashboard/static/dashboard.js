// Draw each figure from the JSON that stands beside it, in the colours of the page.
"use strict";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const colour = () => (dark.matches ? "#b8c2cf" : "#56606e");
for (const plot of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  figure.layout.font = {...figure.layout.font, color: colour()};
  Plotly.newPlot(plot, figure.data, figure.layout, {
    displaylogo: false, displayModeBar: false, responsive: true,
  });
  dark.addEventListener("change", () => Plotly.relayout(plot, {"font.color": colour()}));
}
