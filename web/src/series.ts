// Points of several series brought onto one time axis, as uPlot wants them.

export interface Point {
  series: string;
  at_s: number;
  value: number;
}

export interface Aligned {
  names: string[];
  data: (number | null)[][]; // times first, then one array a series
}

// Points of one series at the same time are added up; a series without a point at a time has `gap`.
export function align(points: Point[], gap: number | null): Aligned {
  const names = [...new Set(points.map((point) => point.series))].sort();
  const times = [...new Set(points.map((point) => point.at_s))].sort((a, b) => a - b);
  const column = new Map(times.map((time, index) => [time, index]));
  const values = names.map(() => times.map((): number | null => gap));
  for (const point of points) {
    const row = values[names.indexOf(point.series)];
    const at = column.get(point.at_s);
    if (row && at !== undefined) row[at] = (row[at] ?? 0) + point.value;
  }
  return { names, data: [times, ...values] };
}
