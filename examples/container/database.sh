# Read by the shell of each service: the database's address, with the password out of its secret.
password=$(python -c 'import sys, urllib.parse as p; print(p.quote(sys.stdin.read().strip(), safe=""))' </run/secrets/database-password)
export WAITCTL_DATABASE_URL="postgresql://waitctl:$password@database/waits"
