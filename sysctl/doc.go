// Package sysctl reads which ports the kernel takes by itself and which it keeps
// from users, and has it leave ports alone: the settings below
// /proc/sys/net/ipv4 that are about ports, which hold for IPv6 as well. They are
// those of a network namespace, see ip-sysctl in the kernel's documentation.
package sysctl
