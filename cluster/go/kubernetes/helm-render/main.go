// Renders charts through the Helm SDK for as long as somebody asks: one JSON request per line on stdin; on stdout
// two lines of JSON per answer: what Helm printed, and the objects, which nobody has to quote. It takes the same path
// as `helm template` (values, schema, templates, order of objects), without a process start per render, and gives
// NOTES.txt as well.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	valuesloader "helm.sh/helm/v4/pkg/chart/v2/loader"
	releaser "helm.sh/helm/v4/pkg/release"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/strvals"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

type request struct {
	Chart       string          `json:"chart"`
	Release     string          `json:"release"`
	Namespace   string          `json:"namespace"`
	KubeVersion string          `json:"kube_version"`
	Values      json.RawMessage `json:"values"`
	Set         []string        `json:"set"`
	APIVersions []string        `json:"api_versions"`
	IsUpgrade   bool            `json:"is_upgrade"`
	State       string          `json:"state"` // of the chart's files: the same text, the same files
}

type answer struct {
	Manifest string `json:"manifest"`
	Notes    string `json:"notes"`
	Error    string `json:"error"`
	objects  []byte // a JSON list, on a line of its own
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	debug.SetGCPercent(1000) // a render leaves much garbage and keeps nothing
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0 {
			return
		}
		if err != nil && !errors.Is(err, io.EOF) {
			fmt.Fprintln(os.Stderr, "helm-render: cannot read a request:", err)
			os.Exit(1)
		}
		if err := write(out, serve(line)); err != nil {
			fmt.Fprintln(os.Stderr, "helm-render: cannot write an answer:", err)
			os.Exit(1)
		}
	}
}

func write(out *bufio.Writer, reply answer) error {
	head := json.NewEncoder(out)
	head.SetEscapeHTML(false)
	if err := head.Encode(reply); err != nil {
		return err
	}
	out.Write(reply.objects) // an error stays until Flush
	out.WriteByte('\n')
	return out.Flush()
}

// serve turns a panic of the template engine into an error of this one request.
func serve(line []byte) (reply answer) {
	defer func() {
		if cause := recover(); cause != nil {
			reply = answer{Error: fmt.Sprintf("helm panicked: %v", cause)}
		}
	}()
	var wanted request
	if err := json.Unmarshal(line, &wanted); err != nil {
		return answer{Error: "not a request: " + err.Error()}
	}
	rendered, err := render(wanted)
	if err != nil {
		return answer{Error: err.Error()}
	}
	manifest := text(rendered)
	found, err := parse(manifest)
	if err != nil {
		return answer{Error: "the chart renders, but not to Kubernetes objects: " + err.Error()}
	}
	return answer{Manifest: manifest, Notes: rendered.Info.Notes, objects: found}
}

func render(wanted request) (*release.Release, error) {
	values, err := merge(wanted)
	if err != nil {
		return nil, err
	}
	chart, err := load(wanted)
	if err != nil {
		return nil, err
	}
	install := action.NewInstall(action.NewConfiguration())
	install.ReleaseName = wanted.Release
	install.Namespace = wanted.Namespace
	install.DryRunStrategy = action.DryRunClient
	install.Replace = true
	install.APIVersions = common.VersionSet(wanted.APIVersions)
	install.IsUpgrade = wanted.IsUpgrade
	install.SkipSchemaValidation = accepted(chart, values)
	if wanted.KubeVersion != "" {
		version, err := common.ParseKubeVersion(wanted.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("invalid kube version '%s': %w", wanted.KubeVersion, err)
		}
		install.KubeVersion = version
	}
	found, err := install.RunWithContext(context.Background(), chart, values)
	if err != nil {
		return nil, err
	}
	return asRelease(found)
}

type loaded struct {
	chart chart.Charter
	state string
}

// charts keeps the last state of each chart, by its path: reading a chart takes a fifth of a render.
var charts = map[string]loaded{}

// load reads a chart unless it was read in this state before. Helm changes a chart that has dependencies while it
// renders it (it drops those that are not enabled), so that one is read each time.
func load(wanted request) (chart.Charter, error) {
	if known, found := charts[wanted.Chart]; found && known.state == wanted.State {
		return known.chart, nil
	}
	found, err := loader.Load(wanted.Chart)
	if err != nil {
		return nil, err
	}
	accessor, err := chart.NewAccessor(found)
	if err == nil && wanted.State != "" && len(accessor.MetaDependencies()) == 0 && len(accessor.Dependencies()) == 0 {
		charts[wanted.Chart] = loaded{found, wanted.State}
	}
	return found, nil
}

// schemas keeps compiled schemas by their text: compiling a large one takes longer than the rest of a render.
var schemas = map[string]*jsonschema.Schema{}

// accepted says whether the chart's schema surely accepts the values, judged by the validator that Helm uses.
// Anything else (a violation, a schema that needs Helm's loaders, subcharts) is left to Helm, with its own words.
func accepted(loaded chart.Charter, values map[string]any) bool {
	accessor, err := chart.NewAccessor(loaded)
	if err != nil || accessor.Schema() == nil || len(accessor.Dependencies()) > 0 {
		return false
	}
	schema, known := schemas[string(accessor.Schema())]
	if !known {
		if schema, err = compile(accessor.Schema()); err != nil {
			return false
		}
		schemas[string(accessor.Schema())] = schema
	}
	all, err := util.CoalesceValues(loaded, values)
	return err == nil && schema.Validate(all.AsMap()) == nil
}

func compile(text []byte) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{})
	if err := compiler.AddResource("file:///values.schema.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("file:///values.schema.json")
}

// merge reads the values as Helm reads a values file, then applies what --set would.
func merge(wanted request) (map[string]any, error) {
	values := map[string]any{}
	if len(wanted.Values) > 0 {
		var err error
		if values, err = valuesloader.LoadValues(bytes.NewReader(wanted.Values)); err != nil {
			return nil, err
		}
	}
	for _, assignment := range wanted.Set {
		if err := strvals.ParseInto(assignment, values); err != nil {
			return nil, fmt.Errorf("failed parsing --set data: %w", err)
		}
	}
	return values, nil
}

func asRelease(found releaser.Releaser) (*release.Release, error) {
	switch rendered := found.(type) {
	case *release.Release:
		return rendered, nil
	case release.Release:
		return &rendered, nil
	default:
		return nil, fmt.Errorf("unsupported release type %T", found)
	}
}

// parse reads the documents as Kubernetes does into one JSON list, but refuses a key that is there twice.
func parse(manifest string) ([]byte, error) {
	found := [][]byte{}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return slices.Concat([]byte("["), bytes.Join(found, []byte(",")), []byte("]")), nil
		}
		if err != nil {
			return nil, err
		}
		object, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		if string(object) == "null" {
			continue
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(object, &keys) != nil || keys["apiVersion"] == nil || keys["kind"] == nil {
			return nil, fmt.Errorf("%.200s has no apiVersion and kind", object)
		}
		found = append(found, object)
	}
}

// text joins manifests and hooks as `helm template` prints them.
func text(rendered *release.Release) string {
	var all strings.Builder
	fmt.Fprintln(&all, strings.TrimSpace(rendered.Manifest))
	for _, hook := range rendered.Hooks {
		fmt.Fprintf(&all, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return all.String()
}
