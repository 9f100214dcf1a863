#!/bin/sh
# Compiles the sample into lib/http-server.jar, with a JDK of version 11 or later.
set -eu
cd "$(dirname "$0")"
mkdir -p classes lib
javac --release 11 -d classes src/demo/HttpServerMain.java
exec jar --create --file lib/http-server.jar -C classes .
