"""Readers of the tables that are not auditlake: PyIceberg, DuckDB with its own
iceberg extension, Spark; and `auditlake sql`, to be compared with them.

    python readers.py ENGINE

reads requests, one JSON object a line, and answers each with one line of JSON:
what it found, or {"error": TEXT}. It ends with its input.
"""

import glob
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import traceback

import pyarrow as pa
import pyarrow.parquet as pq

import canon

EPOCH_DAY = {  # UTC days since 1970 of a timestamp with time zone
    "duckdb": "date_diff('day', DATE '1970-01-01', CAST(({} AT TIME ZONE 'UTC') AS DATE))",
    "spark": "datediff(CAST({} AS DATE), DATE '1970-01-01')",
}


def class_and_day(table):
    return ("error_class", "ingest_time") if table == "dead_letters" else ("event_class", "event_time")


def where(condition, timestamp):
    """A condition as SQL; a value of a time column is RFC 3339 text."""
    parts = []
    for column, op, value in condition:
        if op in ("is null", "is not null"):
            parts.append(f"{column} {op}")
            continue
        if isinstance(value, str):
            text = "'" + value.replace("'", "''") + "'"
            value = timestamp(text) if column.endswith(("_time", "_at", "_timestamp")) else text
        parts.append(f"{column} {op} {value!r}" if isinstance(value, float) else f"{column} {op} {value}")
    return " AND ".join(parts) or "true"


class SQLEngine:
    """What the engines that speak SQL share: relation and arrow are theirs."""

    def timestamp(self, text):
        return "TIMESTAMPTZ " + text

    def read(self, r):
        rel, dialect = self.relation(r), "spark" if isinstance(self, Spark) else "duckdb"
        cls, when = class_and_day(r["table"])
        table = self.rows(r, rel)
        day = EPOCH_DAY[dialect].format(when)
        counts = self.arrow(r, f"SELECT {cls} AS c, {day} AS d, count(*) AS n FROM {rel} GROUP BY {cls}, {day}")
        return table, {
            "by_class_and_day": {f"{x['c']} {x['d']}": x["n"] for x in counts.to_pylist()},
            "counts": self.counts(r, rel, r.get("where") or []),
            "count": self.counts(r, rel, [[]])[0],
        }


    def rows(self, r, rel):
        return self.arrow(r, f"SELECT * FROM {rel}")

    def counts(self, r, rel, conditions):
        """Rows for which each condition holds: one statement, a scan for each."""
        if not conditions:
            return []
        scans = [f"SELECT {i} AS i, count(*) AS n FROM {rel} WHERE {where(c, self.timestamp)}" for i, c in enumerate(conditions)]
        return [x["n"] for x in sorted(self.arrow(r, " UNION ALL ".join(scans)).to_pylist(), key=lambda x: x["i"])]


class Auditlake(SQLEngine):
    """`auditlake sql`: the whole tables as agent_log and dead_letters."""

    def relation(self, r):
        if r.get("snapshot"):
            raise ValueError("auditlake sql reads the newest snapshot")
        return {"agent_events": "agent_log"}.get(r["table"], r["table"])

    def rows(self, r, rel):
        """Doubles come as text: DuckDB writes 0.0 for -0.0 in a column of Parquet
        that has both, as its dictionary takes them for the same."""
        described = json.loads(subprocess.run([os.environ["AUDITLAKE_BINARY"], "-c", r["lake"]["config"], "sql", "--json", f"DESCRIBE {rel}"],
                                              capture_output=True, check=True).stdout)
        doubles = [c["column_name"] for c in described if c["column_type"] == "DOUBLE"]
        replace = " REPLACE (" + ", ".join(f"CAST({c} AS VARCHAR) AS {c}" for c in doubles) + ")" if doubles else ""
        table = self.arrow(r, f"SELECT *{replace} FROM {rel}")
        for c in r.get("absent") or []:  # a column that the table lacks reads NULL
            if table.column(c).null_count != table.num_rows:
                raise ValueError(f"column {c} is not in the table and has values")
            table, doubles = table.drop_columns(c), [d for d in doubles if d != c]
        for c in doubles:
            values = [None if v is None else float(v) for v in table.column(c).to_pylist()]
            table = table.set_column(table.column_names.index(c), c, pa.array(values, pa.float64()))
        return table

    def arrow(self, r, sql):
        with tempfile.TemporaryFile() as out:
            subprocess.run([os.environ["AUDITLAKE_BINARY"], "-c", r["lake"]["config"], "--log-level", "error", "sql", "-o", "parquet", sql],
                           stdout=out, check=True)
            out.seek(0)
            return pq.read_table(out)


def metadata_location(lake, table):
    """Where a SQL catalog says that the table's metadata is, asked without any
    Iceberg library."""
    kind = lake["catalog"]["type"]
    query = "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = {0} AND table_namespace = {0} AND table_name = {0}"
    names = (lake["catalog"]["name"], lake["catalog"]["namespace"], table)
    if kind == "sqlite":
        db = sqlite3.connect(lake["catalog"]["uri"])
        row = db.execute(query.format("?"), names).fetchone()
    else:
        import psycopg2

        db = psycopg2.connect(lake["catalog"]["uri"])
        cursor = db.cursor()
        cursor.execute(query.format("%s"), names)
        row = cursor.fetchone()
    db.close()
    if row is None:
        raise LookupError(f"the catalog has no table {names}")
    return row[0]


class DuckDB(SQLEngine):
    """DuckDB's own iceberg extension, which reads metadata and manifests itself."""

    def __init__(self):
        import duckdb
        import duckdb_extension_avro, duckdb_extension_httpfs, duckdb_extension_iceberg  # noqa: E401

        self.db = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
        for module in duckdb_extension_avro, duckdb_extension_httpfs, duckdb_extension_iceberg:
            (path,) = glob.glob(os.path.join(os.path.dirname(module.__file__), "**", "*.duckdb_extension"), recursive=True)
            self.db.execute(f"LOAD '{path}'")
        self.db.execute("SET TimeZone = 'UTC'")
        self.attached = set()

    def relation(self, r):
        lake, catalog = r["lake"], r["lake"]["catalog"]
        if "s3" in lake:
            s3 = lake["s3"]
            self.db.execute(f"""CREATE OR REPLACE SECRET s3 (TYPE s3, KEY_ID '{s3["access_key_id"]}', SECRET '{s3["secret_access_key"]}',
                ENDPOINT '{s3["endpoint"].removeprefix("http://")}', REGION '{s3["region"]}', URL_STYLE 'path', USE_SSL false)""")
        if catalog["type"] != "rest":
            at = f", snapshot_from_id = {r['snapshot']}" if r.get("snapshot") else ""
            return f"iceberg_scan('{metadata_location(lake, r['table'])}'{at})"
        # A catalog is attached anew for every request: it keeps what it has loaded.
        self.db.execute("DETACH DATABASE IF EXISTS lake")
        self.db.execute(f"""ATTACH '{catalog.get("warehouse", "")}' AS lake (TYPE iceberg, ENDPOINT '{catalog["uri"]}',
            AUTHORIZATION_TYPE 'none', ACCESS_DELEGATION_MODE 'none')""")
        at = f" AT (VERSION => {r['snapshot']})" if r.get("snapshot") else ""
        return f"lake.{catalog['namespace']}.{r['table']}{at}"

    def arrow(self, r, sql):
        return self.db.execute(sql).to_arrow_table()


class PyIceberg:
    def catalog(self, lake):
        from pyiceberg.catalog import load_catalog

        c = lake["catalog"]
        properties = {"type": "rest" if c["type"] == "rest" else "sql", "uri": c["uri"]}
        if c["type"] == "sqlite":
            properties["uri"] = "sqlite:///" + c["uri"]
        elif c["type"] == "postgres":
            properties["uri"] = c["uri"].replace("postgres://", "postgresql+psycopg2://").replace("postgresql://", "postgresql+psycopg2://")
        for key, value in lake.get("s3", {}).items():
            properties["s3." + {"access_key_id": "access-key-id", "secret_access_key": "secret-access-key"}.get(key, key)] = value
        return load_catalog(c["name"], **properties)

    def load(self, r):
        return self.catalog(r["lake"]).load_table((r["lake"]["catalog"]["namespace"], r["table"]))

    def read(self, r):
        table = self.load(r)
        snapshot = r.get("snapshot")
        rows = table.scan(snapshot_id=snapshot).to_arrow()
        cls, when = class_and_day(r["table"])
        return rows, {
            "by_class_and_day": canon.count_by_class_and_day(table.scan(snapshot_id=snapshot, selected_fields=(cls, when)).to_arrow()),
            "counts": [table.scan(row_filter=self.filter(c), snapshot_id=snapshot).count() for c in r.get("where") or []],
            "count": table.scan(snapshot_id=snapshot).count(),
        }

    def filter(self, condition):
        from pyiceberg import expressions as e

        made = {"=": e.EqualTo, "<": e.LessThan, "<=": e.LessThanOrEqual, ">": e.GreaterThan, ">=": e.GreaterThanOrEqual}
        out = e.AlwaysTrue()
        for column, op, value in condition:
            if op == "is null":
                term = e.IsNull(column)
            elif op == "is not null":
                term = e.NotNull(column)
            else:
                if isinstance(value, str) and value.endswith("Z") and column.endswith(("_time", "_at", "_timestamp")):
                    value = value.removesuffix("Z") + "+00:00"
                term = made[op](column, value)
            out = e.And(out, term)
        return out

    def snapshots(self, r):
        return {"snapshots": [s.snapshot_id for s in self.load(r).snapshots()]}

    def drop_columns(self, r):
        """Another engine takes columns away."""
        with self.load(r).update_schema(allow_incompatible_changes=True) as update:
            for name in r["names"]:
                update.delete_column(name)
        return {}


class Spark(SQLEngine):
    def __init__(self):
        from pyspark.sql import SparkSession

        jars = sorted(glob.glob(os.path.join(os.environ["SPARK_JARS"], "*.jar")))
        options = {
            "spark.driver.extraClassPath": ":".join(jars), "spark.driver.memory": "1g", "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "2", "spark.log.level": "ERROR",
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        }
        builder = SparkSession.builder.master("local[2]").appName("readers")
        for key, value in options.items():
            builder = builder.config(key, value)
        self.root = builder.getOrCreate()
        self.sessions = {}

    def timestamp(self, text):
        return "TIMESTAMP " + text

    def session(self, lake):
        """A session knows one lake: two may have the same catalog name."""
        key = lake["config"]
        if key in self.sessions:
            return self.sessions[key]
        c, session = lake["catalog"], self.root.newSession()
        prefix = "spark.sql.catalog." + c["name"]
        conf = {
            "": "org.apache.iceberg.spark.SparkCatalog", ".cache-enabled": "false", ".warehouse": lake["warehouse"],
            ".type": "rest" if c["type"] == "rest" else "jdbc", ".uri": c["uri"],
        }
        if c["type"] != "rest":
            conf[".uri"] = "jdbc:sqlite:" + c["uri"] if c["type"] == "sqlite" else jdbc(c["uri"])
            conf[".jdbc.schema-version"] = "V1"
        if "s3" in lake:
            s3 = lake["s3"]
            conf.update({
                ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO", ".s3.endpoint": s3["endpoint"], ".s3.path-style-access": "true",
                ".s3.access-key-id": s3["access_key_id"], ".s3.secret-access-key": s3["secret_access_key"], ".client.region": s3["region"],
            })
        for name, value in conf.items():
            session.conf.set(prefix + name, value)
        self.sessions[key] = session
        return session

    def relation(self, r):
        c = r["lake"]["catalog"]
        at = f" VERSION AS OF {r['snapshot']}" if r.get("snapshot") else ""
        return f"{c['name']}.{c['namespace']}.{r['table']}{at}"

    def arrow(self, r, sql):
        return self.session(r["lake"]).sql(sql).toArrow()

    def sql(self, r):
        """Statements of Spark's; {table} is the table, {name} as a procedure wants it, {catalog} its catalog."""
        c = r["lake"]["catalog"]
        out = []
        for statement in r["statements"]:
            statement = statement.format(table=self.relation(r), name=f"{c['namespace']}.{r['table']}", catalog=c["name"])
            out.append([row.asDict() for row in self.session(r["lake"]).sql(statement).collect()])
        return {"results": out}


def jdbc(uri):
    """A PostgreSQL URL as JDBC writes it."""
    from urllib.parse import urlsplit

    u = urlsplit(uri)
    login = "?user=" + (u.username or "postgres") + (f"&password={u.password}" if u.password else "")
    return f"jdbc:postgresql://{u.hostname}:{u.port or 5432}{u.path}{login}"


def answer(engine, r):
    if r["do"] != "read":
        return getattr(engine, r["do"])(r)
    table, found = engine.read(r)
    found.update(canon.fingerprint(table))
    # The same questions, answered by looking at every row that was read.
    found["counts_of_rows"] = [canon.count_where(table, c) for c in r.get("where") or []]
    found["by_class_and_day_of_rows"] = canon.count_by_class_and_day(table)
    return found


def main():
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an engine prints is no reply
    engine = {"auditlake": Auditlake, "duckdb": DuckDB, "pyiceberg": PyIceberg, "spark": Spark}[sys.argv[1]]()
    for line in sys.stdin:
        try:
            reply = answer(engine, json.loads(line))
        except Exception as e:  # the reply says so, the test fails
            traceback.print_exc()
            reply = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(reply, default=str), file=replies, flush=True)


if __name__ == "__main__":
    main()
