// Package access says who may do what.
//
// A [Caller] is whoever a request comes from: a user of this machine, known by
// the kernel at the other end of the unix socket, or who has a token. A caller
// has a [Role], and a role allows what it and the ones below it are for:
//
//	read < lease < exec < admin
//
// [Peers] are the rules for users and groups of the machine, [Tokens] the tokens
// that were made, [Quotas] how many leases an owner may have. The rules are pure:
// nothing here listens or knows of HTTP.
package access
