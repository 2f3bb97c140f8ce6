import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Aligned } from "./series";

interface PlotProps {
  aligned: Aligned;
  label: string; // what the y axis shows
  dots?: boolean; // counts: each point is shown, as a whole number
  lines?: { at: number; name: string }[]; // horizontal, e.g. an alarm's threshold
}

const height = 200;

function palette(): string[] {
  const style = getComputedStyle(document.documentElement);
  return [1, 2, 3, 4, 5, 6, 7, 8].map((n) => style.getPropertyValue(`--series-${n}`).trim());
}

function thresholds(lines: { at: number; name: string }[], ink: string): uPlot.Plugin {
  return {
    hooks: {
      draw: (plot) => {
        for (const line of lines) {
          const y = plot.valToPos(line.at, "y", true);
          if (y < plot.bbox.top || y > plot.bbox.top + plot.bbox.height) continue;
          plot.ctx.save();
          plot.ctx.strokeStyle = ink;
          plot.ctx.setLineDash([6, 5]);
          plot.ctx.beginPath();
          plot.ctx.moveTo(plot.bbox.left, y);
          plot.ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
          plot.ctx.stroke();
          plot.ctx.fillStyle = ink;
          plot.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
          plot.ctx.textAlign = "left";
          plot.ctx.fillText(line.name, plot.bbox.left + 6, y - 4);
          plot.ctx.restore();
        }
      },
    },
  };
}

function makeOptions(props: PlotProps, width: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink-soft").trim();
  const rule = style.getPropertyValue("--rule").trim();
  const colours = palette();
  const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 } };
  return {
    width,
    height,
    scales: {
      // A single moment has no extent of its own, and would be given a thousand days.
      x: { time: true, range: (plot, min, max) => (plot.data[0].length < 2 ? [min - 30, min + 30] : [min, max]) },
      y: { range: (_, __, max) => [0, Math.max(max, ...(props.lines ?? []).map((l) => l.at)) * 1.08 || 1] },
    },
    axes: [axis, { ...axis, size: 56 }],
    series: [
      {},
      ...props.aligned.names.map((name, index) => ({
        label: name,
        stroke: colours[index % colours.length] ?? ink,
        width: 2,
        points: { show: props.dots ?? props.aligned.data[0]?.length === 1 },
        value: (_: uPlot, value: number | null) => (value === null ? "–" : value.toFixed(props.dots ? 0 : 3)),
      })),
    ],
    plugins: props.lines ? [thresholds(props.lines, ink)] : [],
    legend: { live: true },
  };
}

// Redrawn when the data, the width or the colour scheme changes.
export function Plot(props: PlotProps) {
  const host = useRef<HTMLDivElement>(null);
  const key = JSON.stringify(props.aligned);
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    let plot: uPlot | undefined;
    const draw = () => {
      plot?.destroy();
      plot = new uPlot(
        makeOptions(props, Math.max(280, element.clientWidth)),
        props.aligned.data as uPlot.AlignedData,
        element,
      );
    };
    const observer = new ResizeObserver(draw);
    observer.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, [key]);
  if (props.aligned.names.length === 0) return <p class="empty">Nothing yet.</p>;
  return (
    <figure class="plot">
      <figcaption>{props.label}</figcaption>
      <div ref={host} role="img" aria-label={props.label} />
    </figure>
  );
}
