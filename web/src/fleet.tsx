import type { Picture } from "./app";
import { ago, bytes, health } from "./format";

export function FleetSection(props: { picture: Picture }) {
  const { sites, taken_ms } = props.picture;
  return (
    <section id="fleet" aria-labelledby="fleet-title">
      <h2 id="fleet-title">Fleet</h2>
      {sites.length === 0 ? (
        <p class="empty">
          No site yet. Make a token with <code>skerry token NAME --hub DATA --out FILE</code>, then start the site with it.
        </p>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Site</th>
                <th scope="col">State</th>
                <th scope="col">Last by link</th>
                <th scope="col">Last by media</th>
                <th scope="col">Model</th>
                <th scope="col">Release</th>
                <th scope="col" class="number">
                  Backlog
                </th>
                <th scope="col">Clock</th>
                <th scope="col">Alarms</th>
              </tr>
            </thead>
            <tbody>
              {sites.map((site) => {
                const state = health(Math.max(site.last_link_us, site.last_media_us), taken_ms);
                return (
                  <tr key={site.site}>
                    <th scope="row">{site.site}</th>
                    <td>
                      <span class={`badge ${state.replace(" ", "-")}`}>{state}</span>
                    </td>
                    <td>{ago(site.last_link_us, taken_ms)}</td>
                    <td>{ago(site.last_media_us, taken_ms)}</td>
                    <td>
                      {site.status?.active_model || "–"}
                    </td>
                    <td>
                      {site.status?.release ? `${site.status.release.version}${site.status.release.standing === "trial" ? " (trial)" : ""}` : "–"}
                    </td>
                    <td class="number">{site.status ? bytes(site.status.backlog_bytes) : "–"}</td>
                    <td>{site.status?.clock || "–"}</td>
                    <td>{site.status?.alarms.join("; ") || "none"}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
