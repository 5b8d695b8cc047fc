package queries

import (
	"context"
	"fmt"
	"strings"

	"github.com/auditlake/auditlake/catalog"
)

// SetupScript returns SQL that gives a DuckDB of one's own, with the iceberg
// extension, the tables, views and macros of a session at its snapshots. The
// canned queries run there once their $parameters are given values.
func (s *Session) SetupScript(ctx context.Context) (string, error) {
	tables, err := s.planAll(ctx, window{s.opts.From, s.opts.To})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- auditlake's tables and views in DuckDB, as of snapshot %d of %s.\n", tables[0].plan.SnapshotID, catalog.AgentEvents)
	b.WriteString("-- Run it again to see what was committed since.\nINSTALL iceberg;\nLOAD iceberg;\n")
	if location := tables[0].plan.MetadataLocation; strings.HasPrefix(location, "s3://") {
		s3 := s.opts.Storage.For(location)
		if s3.Keys != nil {
			return "", usagef("the catalog gives a key of its own for the table's files, for a short time, which a script cannot hold: " +
				"attach the catalog itself in DuckDB (ATTACH ... (TYPE iceberg, ENDPOINT ...)), or set catalog.rest.vended_credentials: false")
		}
		b.WriteString("INSTALL httpfs;\nLOAD httpfs;\nINSTALL aws;\nLOAD aws;\n")
		// For the lake's bucket only: whoever runs this may have other secrets.
		bucket, _, _ := strings.Cut(strings.TrimPrefix(location, "s3://"), "/")
		fmt.Fprintf(&b, "CREATE OR REPLACE SECRET auditlake (TYPE s3, PROVIDER credential_chain, SCOPE %s", literal("s3://"+bucket))
		if s3.Region != "" {
			fmt.Fprintf(&b, ", REGION %s", literal(s3.Region))
		}
		if scheme, host, ok := strings.Cut(s3.Endpoint, "://"); ok {
			fmt.Fprintf(&b, ", ENDPOINT %s, USE_SSL %t", literal(host), scheme == "https")
		}
		if s3.PathStyle {
			b.WriteString(", URL_STYLE 'path'")
		}
		b.WriteString(");\n")
	}
	b.WriteString("SET TimeZone='UTC';\nCREATE SCHEMA IF NOT EXISTS lake;\n")
	for _, p := range tables {
		fmt.Fprintf(&b, "CREATE OR REPLACE VIEW lake.%s AS %s;\n", p.rows, p.icebergScan())
	}
	b.WriteString("CREATE OR REPLACE VIEW lake.repeated AS SELECT source, event_id FROM lake.event_rows GROUP BY source, event_id HAVING count(*) > 1;\n")
	for _, statement := range viewScript(tables, eventsOnce(tables[0]), macros) {
		b.WriteString(statement + ";\n")
	}
	return b.String(), nil
}

// eventsOnce selects every event once without a place to keep what it found.
// The window runs over repeated events only: over all of them it would hold
// every payload.
func eventsOnce(events planned) string {
	from := "SELECT " + events.names("r.") + " FROM lake.event_rows r "
	on := " JOIN lake.repeated d ON r.source = d.source AND r.event_id = d.event_id"
	return from + "ANTI" + on + " UNION ALL (" + from + "SEMI" + on +
		" QUALIFY row_number() OVER (PARTITION BY r.source, r.event_id ORDER BY r.kafka_topic, r.kafka_partition, r.kafka_offset, r.record_index) = 1)"
}

// icebergScan reads the table through DuckDB's iceberg extension, which prunes
// by itself.
func (p planned) icebergScan() string {
	if p.plan.SnapshotID == 0 {
		return "SELECT " + p.typed() + " WHERE false"
	}
	cols := make([]string, len(p.columns))
	for i, c := range p.columns {
		if cols[i] = ident(c.name); c.id == 0 {
			cols[i] = "NULL::" + c.kind + " AS " + ident(c.name)
		}
	}
	location := p.plan.MetadataLocation
	if path, ok := localPath(location); ok {
		location = path
	}
	text := fmt.Sprintf("SELECT %s FROM iceberg_scan(%s, snapshot_from_id = %d)", strings.Join(cols, ", "), literal(location), p.plan.SnapshotID)
	if where := p.condition(); where != "" {
		text += " WHERE " + where
	}
	return text
}
