package server

import "net/http"

// Permit is what stands before all routes.
func (s *Server) Permit(routes *http.ServeMux) http.Handler { return s.permit(routes) }
