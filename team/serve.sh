#!/bin/sh
# Start MLflow's server with accounts; compose.yaml sets the variables. The arguments are further options of `mlflow server`.
set -eu
umask 077
folder=$(mktemp -d)
cat >"$folder/auth.ini" <<INI
[mlflow]
default_permission = ${DEFAULT_PERMISSION:-EDIT}
database_uri = $DATABASE
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
INI
export MLFLOW_AUTH_CONFIG_PATH="$folder/auth.ini"
export MLFLOW_BACKEND_STORE_URI="$DATABASE" # not an option: a process list shows those to everybody
python - <<'PYTHON'
import os
import boto3

s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
if os.environ["BUCKET"] not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
    s3.create_bucket(Bucket=os.environ["BUCKET"])
PYTHON
exec mlflow server --app-name basic-auth --artifacts-destination "s3://$BUCKET" "$@"
