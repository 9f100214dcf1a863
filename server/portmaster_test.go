package server_test

import (
	"strings"

	"berth/access"
)

// portmasterNeeds are the roles that the calls of django-portmaster need: they
// are in no document.
var portmasterNeeds = map[string]access.Role{
	"GET /v1/services": access.Read, "GET /v1/services/9999": access.Read,
	"GET /v1/services/9999/offers": access.Read, "GET /v1/services/9999/offers/9999": access.Read,
	"GET /v1/services/9999/ports": access.Read, "GET /v1/services/9999/ports/9999": access.Read,

	"POST /v1/services/9999/offers": access.Lease, "PUT /v1/services/9999/offers/9999": access.Lease, "DELETE /v1/services/9999/offers/9999": access.Lease,
	"POST /v1/services/9999/offers/9999/accept": access.Lease, "POST /v1/services/9999/offers/9999/reject": access.Lease,
	"DELETE /v1/services/9999/ports/9999": access.Lease,

	"POST /v1/services": access.Admin, "PUT /v1/services/9999": access.Admin, "PATCH /v1/services/9999": access.Admin, "DELETE /v1/services/9999": access.Admin,
}

// portmasterCalls are those calls.
func portmasterCalls() []call {
	var calls []call
	for name := range portmasterNeeds {
		method, path, _ := strings.Cut(name, " ")
		calls = append(calls, call{Operation: name, Method: method, Path: path})
	}
	return calls
}
