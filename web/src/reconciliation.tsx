import { termNames, type Reconciliation, type TermName } from "./api";
import { count, words } from "./format";

// The share of each term as one bar; the words and numbers stand in the table below it.
function Bar(props: { facts: Reconciliation }) {
  const { terms } = props.facts;
  const all = Math.max(1, terms.scored);
  return (
    <svg class="shares" viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">
      {
        termNames.reduce<{ at: number; parts: preact.JSX.Element[] }>(
          (state, term) => {
            const width = (1000 * terms[term]) / all;
            state.parts.push(<rect key={term} class={`term-${term}`} x={state.at} y="0" width={width} height="14" />);
            return { at: state.at + width, parts: state.parts };
          },
          { at: 0, parts: [] },
        ).parts
      }
    </svg>
  );
}

function Cell(props: { term: TermName; value: number }) {
  return (
    <td class="number">
      {props.value > 0 && <span class={`dot term-${props.term}`} aria-hidden="true" />}
      {count(props.value)}
    </td>
  );
}

function Streams(props: { facts: Reconciliation }) {
  return (
    <details>
      <summary>
        {props.facts.site}: {props.facts.streams.length} streams
      </summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Epoch</th>
              <th scope="col">Class</th>
              <th scope="col" class="number">
                Records
              </th>
              <th scope="col" class="number">
                Primary rows
              </th>
              <th scope="col">Received</th>
              <th scope="col">Gaps</th>
            </tr>
          </thead>
          <tbody>
            {props.facts.streams.map((stream) => (
              <tr key={stream.epoch + stream.class}>
                <td>
                  <code>{stream.epoch.slice(0, 12)}</code>
                </td>
                <td>{stream.class}</td>
                <td class="number">{count(stream.rows)}</td>
                <td class="number">{count(stream.primary_rows)}</td>
                <td>{stream.received.map(([a, b]) => `${count(a)}–${count(b)}`).join(", ") || "nothing"}</td>
                <td>{stream.gaps.map(([a, b]) => `${count(a)}–${count(b)}`).join(", ") || "none"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

export function ReconciliationSection(props: { reconciliations: Reconciliation[] }) {
  return (
    <section id="reconciliation" aria-labelledby="reconciliation-title">
      <h2 id="reconciliation-title">Reconciliation</h2>
      <p class="lead">
        Every scored row is in exactly one place. The hub counts what it holds, the site signs the rest; nothing is computed as the difference.
      </p>
      {props.reconciliations.length > 0 && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Site</th>
                <th scope="col" class="number">
                  Scored
                </th>
                <th scope="col" aria-label="equals">
                  =
                </th>
                {termNames.map((term) => (
                  <th key={term} scope="col" class="number">
                    {words(term)}
                  </th>
                ))}
                <th scope="col">Adds up</th>
                <th scope="col" class="number">
                  Duplicates
                </th>
                <th scope="col" class="number">
                  Gaps
                </th>
              </tr>
            </thead>
            <tbody>
              {props.reconciliations.map((facts) => (
                <>
                  <tr key={facts.site}>
                    <th scope="row">{facts.site}</th>
                    <td class="number">
                      <strong>{count(facts.terms.scored)}</strong>
                    </td>
                    <td>=</td>
                    {termNames.map((term) => (
                      <Cell key={term} term={term} value={facts.terms[term]} />
                    ))}
                    <td>
                      <span class={`badge ${facts.balanced ? "healthy" : "dark"}`}>
                        {facts.balanced ? "exactly" : `off by ${count(Math.abs(facts.difference))}`}
                      </span>
                    </td>
                    <td class="number">{count(facts.duplicates_ignored)}</td>
                    <td class="number">{count(facts.unexplained_gaps)}</td>
                  </tr>
                  <tr class="bar-row" key={`${facts.site}-bar`}>
                    <td colSpan={6 + termNames.length}>
                      <Bar facts={facts} />
                    </td>
                  </tr>
                </>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {props.reconciliations.map((facts) => (
        <Streams key={facts.site} facts={facts} />
      ))}
    </section>
  );
}
