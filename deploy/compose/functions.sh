# Steps that upgrade and rollback share. They work at the top of the checkout.
# shellcheck shell=bash

# Output of the commands: upgrade and rollback make the file.
log=/dev/null
HEALTHY_SECONDS=${HEALTHY_SECONDS:-180}

say() {
  echo "$(date +%H:%M:%S)  $*"
}

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

compose() {
  if docker compose version &>/dev/null; then docker compose "$@"; else docker-compose "$@"; fi
}

# The value of a variable in the environment or in .env.
setting() {
  local value=${!1:-}
  [ -n "$value" ] || value=$(sed -n "s/^$1=//p" .env | tail -n 1)
  echo "${value:-$2}"
}

# One run at a time: the kernel ends the lock with the process.
begin() {
  [ -f .env ] || fail ".env is missing: copy deploy/compose/env.example to .env, and fill it in"
  exec 9<.env
  flock --nonblock 9 || fail "another upgrade or rollback is running"
  docker info >/dev/null || fail "the Docker engine does not answer"
  [[ $(setting COMPOSE_FILE '') == *deploy/compose/tls.yml* ]] ||
    fail "COMPOSE_FILE in .env does not name deploy/compose/tls.yml: see deploy/compose/env.example"
  [[ $(setting PORT '') == 127.0.0.1:* ]] ||
    fail "PORT in .env would publish the web server beside Caddy: set PORT=127.0.0.1:"
  compose config --quiet
  [ -z "$(git status --porcelain --untracked-files=no)" ] || fail "files of the checkout are changed: git status"
  image=$(setting TECKEN_IMAGE tecken)
}

has_image() {
  docker image inspect "$image:$1" &>/dev/null
}

# The commit from which an image was built.
commit_of() {
  docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$image:$1" 2>/dev/null || true
}

checkout() {
  git -c advice.detachedHead=false checkout --quiet --detach "$1"
}

until_healthy() {
  local service deadline state
  for service; do
    deadline=$((SECONDS + HEALTHY_SECONDS))
    until state=$(docker inspect --format '{{.State.Health.Status}}' "$(compose ps --quiet "$service" | tail -n 1)" 2>/dev/null) &&
      [ "$state" = healthy ]; do
      if [ "$SECONDS" -ge "$deadline" ]; then
        compose logs --tail 30 "$service" >&2
        say "$service is not healthy after $HEALTHY_SECONDS s: ${state:-it has no container}"
        return 1
      fi
      sleep 1
    done
  done
}

# Replace the containers of the site by those of the image with the tag `current`. A second web server answers while the
# first one is replaced. A worker finishes its jobs; a job that it cannot finish stays in the queue.
replace_site() {
  say "Starting the second web server"
  compose up --detach --no-deps --no-build web-spare &>>"$log" && until_healthy web-spare || return 1
  say "Replacing the web server"
  compose up --detach --no-deps --no-build web &>>"$log" && until_healthy web || return 1
  # Caddy looks at each web server once a second.
  sleep 3
  compose stop web-spare &>>"$log" && compose rm --force web-spare &>>"$log" || return 1
  say "Replacing worker and beat, after the jobs that they have begun"
  compose up --detach --no-deps --no-build worker beat &>>"$log" && until_healthy worker beat || return 1
  say "Starting what else has changed"
  compose up --detach --no-build &>>"$log" && until_healthy redis-cache redis-store db caddy web || return 1
  compose exec -T caddy caddy reload --config /etc/caddy/Caddyfile &>>"$log"
}

# Check the site that runs now. A warning is no failure. From inside, Caddy has the name of the site; a certificate of
# Caddy's own authority is not checked, since the container does not trust it.
check_site() {
  local url=() status=0
  compose exec -T web python manage.py help doctor &>/dev/null || return 0
  [ "$(setting TLS internal)" = internal ] || url=(--url "https://$(setting SITE_NAME '')")
  say "Checking the site"
  compose exec -T web python manage.py doctor "${url[@]}" || status=$?
  [ $status = 0 ] || [ $status = 3 ]
}
