import type { Drift, DriftWindow } from "./api";
import { count } from "./format";
import { Plot } from "./plot";
import { align } from "./series";

export interface SiteDrift {
  site: string;
  drift: Drift;
}

// The newest window with enough rows to be judged.
export function newestWindow(drift: Drift): DriftWindow | undefined {
  return drift.windows
    .filter((window) => window.judged)
    .reduce<DriftWindow | undefined>(
      (newest, window) => (!newest || window.last_event_us >= newest.last_event_us ? window : newest),
      undefined,
    );
}

function Panel(props: { site: string; drift: Drift }) {
  const { drift } = props;
  const newest = newestWindow(drift);
  const judged = drift.windows.filter((window) => window.judged);
  const series = align(
    judged.flatMap((window) =>
      window.fields.map((field) => ({ series: field.field, at_s: window.last_event_us / 1e6, value: field.psi })),
    ),
    null,
  );
  return (
    <article class="panel">
      <h3>
        {props.site} <small>{newest?.model}</small>
      </h3>
      {!newest ? (
        <p class="empty">No summary has arrived.</p>
      ) : (
        <>
          <ul class="psi">
            {newest.fields.map((field) => (
              <li key={field.kind + field.field} class={field.level}>
                <span>{field.field}</span>
                <strong>{field.psi.toFixed(3)}</strong>
                <em>{field.level}</em>
              </li>
            ))}
          </ul>
          <Plot
            aligned={series}
            label={`PSI in ${count(judged.length)} windows, by their last event`}
            lines={[{ at: drift.alarm_from, name: "alarm" }]}
          />
        </>
      )}
    </article>
  );
}

export function DriftSection(props: { drifts: SiteDrift[] }) {
  return (
    <section id="drift" aria-labelledby="drift-title">
      <h2 id="drift-title">Drift</h2>
      <p class="lead">
        Population stability index of each feature and of the score against the training data, in the newest window. Below 0.1 is quiet, from 0.2 on it alarms.
      </p>
      <div class="panels">
        {props.drifts.map(({ site, drift }) => (
          <Panel key={site} site={site} drift={drift} />
        ))}
      </div>
    </section>
  );
}
