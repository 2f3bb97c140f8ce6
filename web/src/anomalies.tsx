import type { Picture } from "./app";
import type { Anomaly } from "./api";
import { count, whenText } from "./format";
import { Plot } from "./plot";
import { align } from "./series";

function When(props: { anomaly: Anomaly }) {
  const { time, mark, why } = whenText(props.anomaly);
  return (
    <td class="time" title={why}>
      {time}
      {mark && <small> {mark}</small>}
    </td>
  );
}

function Fields(props: { anomaly: Anomaly }) {
  return (
    <span class="fields">
      {Object.entries(props.anomaly.fields).map(([name, value]) => (
        <span key={name}>
          <small>{name}</small> {value === null ? "–" : String(value)}
        </span>
      ))}
    </span>
  );
}

const number = (value: number | undefined) => (value === undefined ? "–" : value.toFixed(3));

export function AnomalySection(props: { picture: Picture }) {
  const { anomalies, anomalyTotal, counts } = props.picture;
  const series = align(
    counts
      .filter((point) => point.class === "anomaly")
      .map((point) => ({ series: point.site, at_s: point.time_us / 1e6, value: point.rows })),
    0,
  );
  return (
    <section id="anomalies" aria-labelledby="anomalies-title">
      <h2 id="anomalies-title">Anomalies</h2>
      <Plot aligned={series} label="Anomalies in 10 s of event time" dots />
      {anomalies.length === 0 ? (
        <p class="empty">No anomaly has arrived.</p>
      ) : (
        <>
          <p class="lead">
            The newest {count(anomalies.length)} of {count(anomalyTotal)}, with the fields that policy released.
          </p>
          <div class="scroll tall">
            <table>
              <thead>
                <tr>
                  <th scope="col">Time</th>
                  <th scope="col">Site</th>
                  <th scope="col">Model</th>
                  <th scope="col" class="number">
                    Anomaly score
                  </th>
                  <th scope="col" class="number">
                    Probability
                  </th>
                  <th scope="col">Why</th>
                  <th scope="col">Fields</th>
                </tr>
              </thead>
              <tbody>
                {anomalies.map((anomaly) => (
                  <tr key={`${anomaly.site}${anomaly.row}`}>
                    <When anomaly={anomaly} />
                    <th scope="row">{anomaly.site}</th>
                    <td>{anomaly.model ?? "–"}</td>
                    <td class="number">{number(anomaly.anomaly_score)}</td>
                    <td class="number">{number(anomaly.score)}</td>
                    <td>{anomaly.reasons?.replaceAll("\n", "; ") || "unusual combination of values"}</td>
                    <td>
                      <Fields anomaly={anomaly} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}
