package server

// LimitRunning has no more than n requests carried out at once. It is for a server without connections.
func (s *Server) LimitRunning(n int) { s.running = make(chan struct{}, n) }
