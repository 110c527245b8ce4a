#!/bin/bash
# Replay the Dockerfile's first stage without a container engine: run its RUN lines, with its paths below a new
# folder. This checks that the image's environment is complete: `make image-check`.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$(mktemp --directory)
trap 'rm -rf "$root"' EXIT
mkdir "$root/build"
cp -r requirements pyproject.toml README.md LICENSE src "$root/build"
stage=$(sed -n '/^FROM .* AS build$/,/^FROM [^ ]*$/p' deploy/Dockerfile)
cd "$root/build"
sed -n 's/^RUN //p' <<< "$stage" | sed "s#/opt/oldump#$root/oldump#g; s#/build/#$root/build/#g; s#python -m venv#${PYTHON:-python3} -m venv#g" |
    while read -r line; do
        echo "+ $line"
        bash -euo pipefail -c "$line" < /dev/null
    done
"$root/oldump/bin/oldump" --help > /dev/null
"$root/oldump/bin/python" -c 'import internetarchive, sentry_sdk'
echo "the image's environment is complete"
