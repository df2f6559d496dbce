# The environment of every command, in one place. Use: infra/run COMMAND ..., or source it in bash.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# All state is about people: nobody but its owner may read it.
umask 077
[ ! -O "$root/.topshelf" ] || chmod 700 "$root/.topshelf"
export PATH="$root/.venv/bin:$PATH"
export SPARK_CONF_DIR="$root/.topshelf/spark-conf"
export SPARK_LOCAL_IP=127.0.0.1
export PYSPARK_PYTHON="$root/.venv/bin/python"
# Some containers forbid Python to keep compiled modules: a step then spends 5 s on compiling them.
unset PYTHONDONTWRITEBYTECODE
[ -f "$SPARK_CONF_DIR/spark-env.sh" ] && . "$SPARK_CONF_DIR/spark-env.sh"
export TOPSHELF_CONFIG="${TOPSHELF_CONFIG:-$root/infra/config/complete_journey.toml}"

# Compiled kernels, which every process of a night finds there.
export NUMBA_CACHE_DIR="$root/.topshelf/numba"
export GX_ANALYTICS_ENABLED=false
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
export MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK=true
export MLFLOW_DISABLE_TELEMETRY=true
export GIT_PYTHON_REFRESH=quiet

export AIRFLOW_HOME="${AIRFLOW_HOME:-$root/.topshelf/airflow}"
export AIRFLOW__CORE__DAGS_FOLDER="$root/dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=false
export AIRFLOW__CORE__DEFAULT_TIMEZONE=utc
export AIRFLOW__CORE__PARALLELISM=4
export AIRFLOW__API__HOST=127.0.0.1
export AIRFLOW__API__PORT="${AIRFLOW_PORT:-8080}"
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$AIRFLOW__API__PORT/execution/"
# A long task must not die on the refresh of its token.
export AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME=86400
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=false
export AIRFLOW_CONN_SPARK_DEFAULT="{\"conn_type\": \"spark\", \"host\": \"local[2]\", \"extra\": {\"deploy-mode\": \"client\", \"spark-binary\": \"spark-submit\"}}"
