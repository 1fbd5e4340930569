#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches the real clients into spec/interop/node_modules, unless they are there: what package-lock.json
# names, and the browser file of token-sockjs-client 2.2.0, whose Node part has dependencies that no
# longer install.
set -eu
cd "$(dirname "$0")"

client=token-sockjs-client
version=2.2.0
sum=5b79d416a2551929eb61a02492dd9bf23b9e3e4389dc4d04f47c12d28daf0f58

if ! cmp -s package-lock.json node_modules/.installed; then
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed
fi

if [ ! -f "node_modules/$client/clients/browser/tokensockjs.min.js" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    npm pack "$client@$version" --pack-destination "$work" --loglevel=error >/dev/null
    echo "$sum  $work/$client-$version.tgz" | sha256sum --check --quiet
    mkdir -p "node_modules/$client"
    tar -xzf "$work/$client-$version.tgz" -C "node_modules/$client" --strip-components=1
fi
