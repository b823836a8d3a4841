// Package metrics holds the tests that need Prometheus itself: a node is set to work, its processes' metrics are scraped
// into Prometheus' storage, and every query of the Grafana dashboard and of the alerts is asked of its engine. It is a
// module of its own because of what that engine depends on.
package metrics
