// The hub's page: fleet, reconciliation, anomalies and drift, refreshed while it is looked at.
import { useCallback, useEffect, useState } from "preact/hooks";
import {
  Api,
  ApiError,
  keepToken,
  takeToken,
  type Anomaly,
  type CountPoint,
  type Reconciliation,
  type SiteFacts,
} from "./api";
import { AnomalySection } from "./anomalies";
import { DriftSection, newestWindow, type SiteDrift } from "./drift";
import { FleetSection } from "./fleet";
import { count, health } from "./format";
import { ReconciliationSection } from "./reconciliation";

export interface Picture {
  sites: SiteFacts[];
  reconciliations: Reconciliation[];
  anomalies: Anomaly[];
  anomalyTotal: number;
  counts: CountPoint[];
  drifts: SiteDrift[];
  taken_ms: number;
}

const refreshMs = 3000;
const anomaliesShown = 100;

async function takePicture(api: Api): Promise<Picture> {
  const sites = await api.sites();
  const [reconciliations, drifts, anomalies, counts, overview] = await Promise.all([
    Promise.all(sites.map((site) => api.reconciliation(site.site))),
    Promise.all(sites.map(async (site) => ({ site: site.site, drift: await api.drift(site.site) }))),
    api.anomalies(anomaliesShown),
    api.counts(),
    api.overview(),
  ]);
  return {
    sites,
    reconciliations,
    drifts,
    anomalies,
    anomalyTotal: overview.rows_by_class["anomaly"] ?? 0,
    counts,
    taken_ms: Date.now(),
  };
}

function Login(props: { message: string; onToken: (token: string) => void }) {
  const [token, setToken] = useState("");
  return (
    <main class="login">
      <h1>skerry hub</h1>
      <p>{props.message}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          props.onToken(token.trim());
        }}
      >
        <label>
          Token (file <code>admin.token</code> in the hub's data directory)
          <input type="password" value={token} onInput={(event) => setToken(event.currentTarget.value)} required />
        </label>
        <button type="submit">Open</button>
      </form>
    </main>
  );
}

// What needs a person now, in words.
function concerns(picture: Picture): string[] {
  const found: string[] = [];
  for (const facts of picture.reconciliations) {
    if (!facts.balanced) found.push(`${facts.site}: the numbers differ by ${count(Math.abs(facts.difference))}`);
    if (facts.unexplained_gaps > 0)
      found.push(`${facts.site}: ${count(facts.unexplained_gaps)} unexplained gaps`);
    if (facts.terms.quarantined > 0)
      found.push(`${facts.site}: ${count(facts.terms.quarantined)} rows in quarantine`);
    if (facts.terms.lost > 0)
      found.push(`${facts.site}: ${count(facts.terms.lost)} rows were received and lost by this hub`);
  }
  for (const { site, drift } of picture.drifts)
    for (const field of newestWindow(drift)?.fields ?? [])
      if (field.level === "alarm") found.push(`${site}: ${field.field} drifts (PSI ${field.psi.toFixed(2)})`);
  for (const site of picture.sites) for (const alarm of site.status?.alarms ?? []) found.push(`${site.site}: ${alarm}`);
  return found;
}

function Summary(props: { picture: Picture }) {
  const { picture } = props;
  const healthy = picture.sites.filter(
    (site) => health(Math.max(site.last_link_us, site.last_media_us), picture.taken_ms) === "healthy",
  ).length;
  const received = picture.reconciliations.reduce((sum, facts) => sum + facts.terms.received, 0);
  const needs = concerns(picture);
  return (
    <>
      <dl class="tiles">
        <div>
          <dt>Sites healthy</dt>
          <dd>
            {healthy} <small>of {picture.sites.length}</small>
          </dd>
        </div>
        <div>
          <dt>Rows received</dt>
          <dd>{count(received)}</dd>
        </div>
        <div>
          <dt>Anomalies</dt>
          <dd>{count(picture.anomalyTotal)}</dd>
        </div>
        <div class={needs.length > 0 ? "warn" : ""}>
          <dt>Needs a person</dt>
          <dd>{needs.length}</dd>
        </div>
      </dl>
      {needs.length > 0 && (
        <ul class="concerns" role="status">
          {needs.map((need) => (
            <li key={need}>{need}</li>
          ))}
        </ul>
      )}
    </>
  );
}

export function App() {
  const [token, setToken] = useState(() => takeToken(location, sessionStorage));
  const [picture, setPicture] = useState<Picture | null>(null);
  const [problem, setProblem] = useState("");
  const [refused, setRefused] = useState(false);

  const refresh = useCallback(async () => {
    if (!token || document.hidden) return;
    try {
      setPicture(await takePicture(new Api(token)));
      setProblem("");
      setRefused(false);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) setRefused(true);
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }, [token]);

  useEffect(() => {
    void refresh();
    const timer = setInterval(() => void refresh(), refreshMs);
    return () => clearInterval(timer);
  }, [refresh]);

  if (!token || refused)
    return (
      <Login
        message={refused ? "The hub does not know this token." : "Open the link that the hub printed, or give its token."}
        onToken={(given) => {
          keepToken(sessionStorage, given);
          setRefused(false);
          setToken(given);
        }}
      />
    );
  return (
    <>
      <header class="bar">
        <h1>
          <img src="/icon.svg" alt="" width="26" height="26" /> skerry hub
        </h1>
        <nav aria-label="Sections">
          <a href="#fleet">Fleet</a>
          <a href="#reconciliation">Reconciliation</a>
          <a href="#anomalies">Anomalies</a>
          <a href="#drift">Drift</a>
        </nav>
        <span class={problem ? "live bad" : "live"}>{problem ? "no answer" : "live"}</span>
      </header>
      <main>
        {problem && (
          <p class="problem" role="alert">
            {problem}
            {picture && ` (showing what was known at ${new Date(picture.taken_ms).toLocaleTimeString()})`}
          </p>
        )}
        {!picture && !problem && <p class="empty">Loading…</p>}
        {picture && (
          <>
            <Summary picture={picture} />
            <FleetSection picture={picture} />
            <ReconciliationSection reconciliations={picture.reconciliations} />
            <AnomalySection picture={picture} />
            <DriftSection drifts={picture.drifts} />
          </>
        )}
      </main>
    </>
  );
}
