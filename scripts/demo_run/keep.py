"""What to do with a local cloud that was left up."""

from __future__ import annotations

from demo_run.accounting import Load
from demo_run.show import heading, say


def explain(endpoint: str, loads: list[Load]) -> None:
    """Commands that work as they are printed, from the root of the repository."""
    offers, flights = (load.outputs for load in loads)
    heading("The local cloud is still up. From this folder, in bash:")
    say(f"""
cloud() {{
  env -u AWS_PROFILE NO_PROXY=127.0.0.1 AWS_DEFAULT_REGION=us-east-1 \\
    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \\
    .venv/local-cloud/bin/aws --endpoint-url {endpoint} "$@"
}}

# Load a file of your own: a CSV with the columns account and offer_id, and any others.
cloud s3 cp events/offers.csv s3://{offers["InboxBucket"]}/mine.csv

# What the ledger says about it, and what is in the table.
cloud dynamodb scan --table-name {offers["LedgerTable"]} \\
  --query 'Items[?part.S==`object`].[s3_location.S,processing_status.S,rows_read.N,rows_written.N]'
cloud dynamodb scan --table-name {offers["TableName"]} --max-items 2

# The lake: backup, rejects and row mapping.
cloud s3 ls --recursive s3://{flights["LakeBucket"]}/
cloud s3 cp s3://{flights["LakeBucket"]}/unprocessed/flights.csv/part-00000.jsonl - | head -2

# The change log of the first table, by the views of docs/SEMANTICS.md in DuckDB.
cloud s3 sync --only-show-errors s3://{offers["LakeBucket"]}/changes .local/demo-data/changes
PYTHONPATH=scripts .venv/local-cloud/bin/python -c 'from change_log import connect
log = connect(".local/demo-data/changes/table={offers["TableName"]}")
log.sql("select event_name, count(*) from changes group by all").show()
log.sql("select key1_value, key2_value, item from table_state limit 3").show()'

# Mend the flights: NA becomes an empty cell. Half a minute later, the second job has rejected no row.
sed 's/,NA,/,,/g; s/,NA,/,,/g' .local/demo-data/flights.csv |
  cloud s3 cp - s3://{flights["InboxBucket"]}/flights.csv
cloud dynamodb scan --table-name {flights["LedgerTable"]} \\
  --query 'Items[?part.S==`object`].[start_time.S,processing_status.S,rows_read.N,rows_rejected.N]'

# Run the built function once by hand, on an event of your choice.
scripts/invoke csv-ingester events/sweep.json --name demo

# The end: stops server and functions and removes their state.
scripts/local/stop --name demo""")
