#!/usr/bin/env bash
# Sets the passwords of shop_loader and shop_analyst to LOADER_PASSWORD and ANALYST_PASSWORD. docker compose runs it
# after roles.sql when it makes the database. Later, and elsewhere: python run_pipeline.py init-db
# In a subshell, as the image's entry point may source this file and goes on with its own options.
(
    set -euo pipefail
    : "${LOADER_PASSWORD:?is not set}" "${ANALYST_PASSWORD:?is not set}"
    # psql takes the passwords from the environment, as every user of a machine can read a command line.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
        --username "${POSTGRES_USER:-postgres}" --dbname "${POSTGRES_DB:-shop}" <<'SQL'
\getenv loader_password LOADER_PASSWORD
\getenv analyst_password ANALYST_PASSWORD
begin;
-- Nothing of it goes to the server's log, not even a statement that fails.
set local log_statement = 'none';
set local log_min_duration_statement = -1;
set local log_min_error_statement = 'panic';
set local password_encryption = 'scram-sha-256';
alter role shop_loader password :'loader_password';
alter role shop_analyst password :'analyst_password';
commit;
SQL
)
