#!/bin/sh
# Compiles the sample into classes/, with a JDK of version 11 or later.
set -eu
cd "$(dirname "$0")"
mkdir -p classes
exec javac --release 11 -d classes src/HttpServerMain.java
