package metrics

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/nodetest"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// dashboard is what a test needs of a Grafana dashboard.
type dashboard struct {
	Panels []struct {
		ID      int    `json:"id"`
		Type    string `json:"type"`
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
			Regex string `json:"regex"`
		} `json:"list"`
	} `json:"templating"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	ok(t, json.Unmarshal(must(os.ReadFile("../../deploy/grafana/csi-9p.json"))(t), &d))
	return d
}

// variables are what Grafana puts in the place of its own.
var variables = strings.NewReplacer("$__rate_interval", "2m", "$instance", ".*", "$driver", ".*", "$server", ".*", "$volume", ".*")

// TestDashboard: every query of every panel has an answer on a node that works.
func TestDashboard(t *testing.T) {
	p := newPrometheus(t)
	d := readDashboard(t)
	ids := map[int]bool{}
	queries := 0
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the number %d", panel.ID)
		}
		ids[panel.ID] = true
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q asks nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			queries++
			expr := variables.Replace(target.Expr)
			switch answer, err := p.ask(expr); {
			case err != nil:
				t.Errorf("panel %q: %v\n%s", panel.Title, err, expr)
			case len(answer) == 0:
				t.Errorf("panel %q has no data\n%s", panel.Title, expr)
			}
		}
	}
	if queries < 40 {
		t.Errorf("only %d queries were found", queries)
	}
}

// TestDashboardVariables: the lists to choose from are not empty.
func TestDashboardVariables(t *testing.T) {
	p := newPrometheus(t)
	form := regexp.MustCompile(`^label_values\((.*), ([a-z]+)\)$`)
	for _, v := range readDashboard(t).Templating.List {
		if v.Type != "query" {
			continue
		}
		query, _ := v.Query.(map[string]any)["query"].(string)
		if expr, is := strings.CutPrefix(query, "query_result("); is {
			values, err := p.ask(strings.TrimSuffix(expr, ")"))
			pattern := regexp.MustCompile(strings.Trim(v.Regex, "/"))
			if err != nil || len(values) != 1 || pattern.FindString(values[0].Metric.String()) == "" {
				t.Errorf("variable %s: %v, %v", v.Name, values, err)
			}
			continue
		}
		parts := form.FindStringSubmatch(query)
		if parts == nil {
			t.Errorf("variable %s: %q", v.Name, query)
			continue
		}
		values, err := p.ask("group by (" + parts[2] + ") (" + variables.Replace(parts[1]) + ")")
		if err != nil || len(values) == 0 || values[0].Metric.Get(parts[2]) == "" {
			t.Errorf("variable %s: %v, %v", v.Name, values, err)
		}
	}
}

// alerts are the rules, by name.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	var object struct {
		Spec json.RawMessage `json:"spec"`
	}
	ok(t, yaml.Unmarshal(must(os.ReadFile("../../deploy/prometheus/rules.yaml"))(t), &object))
	groups, errs := rulefmt.Parse(must(yaml.JSONToYAML(object.Spec))(t), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	all := make(map[string]rulefmt.Rule)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			all[rule.Alert] = rule
		}
	}
	if len(all) == 0 {
		t.Fatal("no rules were found")
	}
	return all
}

// TestAlerts: Prometheus takes the rules, what they look at exists, and on a node that is well none fires.
func TestAlerts(t *testing.T) {
	p := newPrometheus(t)
	docs := string(must(os.ReadFile("../../docs/metrics.md"))(t))
	for name, rule := range alerts(t) {
		if firing, err := p.ask(rule.Expr); err != nil || len(firing) > 0 {
			t.Errorf("%s: fires for %v, %v", name, firing, err)
		}
		for _, s := range selectors(t, rule.Expr) {
			if found, err := p.ask(s); err != nil || len(found) == 0 {
				t.Errorf("%s: nothing is %s (%v)", name, s, err)
			}
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s does not say what it means", name)
		}
		if !strings.Contains(docs, "`"+name+"`") {
			t.Errorf("docs/metrics.md does not have %s", name)
		}
	}
}

// TestCallsFail: a driver of ours whose calls fail is noticed by any name, another driver is not.
func TestCallsFail(t *testing.T) {
	p := newPrometheus(t)
	rule := alerts(t)["Csi9pCallsFail"]
	others := client.NewCounter(client.CounterOpts{
		Name:        "csi_plugin_operations_seconds_count",
		ConstLabels: client.Labels{"driver_name": "other.example", "method_name": stageMethod, "grpc_status_code": "Internal"},
	})
	other := client.NewRegistry()
	other.MustRegister(others)
	for range scrapes {
		for range scrapes {
			p.called(stageMethod, errRefused, time.Second)
			others.Inc()
		}
		p.now = p.now.Add(interval)
		p.scrapeAll(p.now)
		p.scrape(p.now, "other", other)
	}
	if seen, err := p.ask(`increase(csi_plugin_operations_seconds_count{driver_name="other.example"}[15m]) > 3`); err != nil || len(seen) != 1 {
		t.Errorf("the other driver's calls: %v, %v", seen, err)
	}
	firing, err := p.ask(rule.Expr)
	if err != nil || len(firing) != 1 || firing[0].Metric.Get("driver_name") != "shares.example" {
		t.Errorf("fires for %v, %v", firing, err)
	}
}

// TestAlertsFire: a server and a mounter that go are noticed.
func TestAlertsFire(t *testing.T) {
	p := newPrometheus(t)
	rules := alerts(t)
	fires := func(name string) {
		t.Helper()
		p.now = p.now.Add(interval)
		p.scrapeAll(p.now)
		if firing, err := p.ask(rules[name].Expr); err != nil || len(firing) == 0 {
			t.Errorf("%s: fires for %v, %v", name, firing, err)
		}
	}
	p.exporter.Kill()
	nodetest.Eventually(t, "the server is lost", func() bool {
		status, err := p.mounter.Status(t.Context(), volumeID)
		return err == nil && !status.Connected
	})
	fires("Csi9pServerLost")
	p.mounter.Kill()
	fires("Csi9pMounterAway")
	fires("Csi9pDeadMount")
}
