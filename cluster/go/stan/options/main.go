// Tells what nats-streaming-server makes of command lines and configuration files, without starting it.
//
// Each line of standard input is a JSON object: {"conf": TEXT} to read one text, or {"args": [...], "env": {...}} for
// what the server's own ConfigureOptions makes of a command line. Each gets one line of JSON as its answer.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/conf"
	stand "github.com/nats-io/nats-streaming-server/server"
)

type question struct {
	Conf *string           `json:"conf"`
	Args []string          `json:"args"`
	Env  map[string]string `json:"env"`
}

type answer struct {
	Error  string         `json:"error,omitempty"`
	Values any            `json:"values,omitempty"`
	Stan   map[string]any `json:"stan,omitempty"`
	Nats   map[string]any `json:"nats,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := out.Encode(reply(asked)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
}

func reply(asked question) (told answer) {
	defer func() {
		if problem := recover(); problem != nil {
			told = answer{Error: fmt.Sprintf("panic: %v", problem)}
		}
	}()
	for name, value := range asked.Env {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}
	if asked.Conf != nil {
		values, err := conf.Parse(*asked.Conf)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Values: tagged(values)}
	}
	flags := flag.NewFlagSet("streaming", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	ends := ""
	stop := func(why string) func() { return func() { ends = why } }
	stan, nats, err := stand.ConfigureOptions(flags, asked.Args, stop("version"), stop("help"), stop("help_tls"))
	if ends != "" {
		return answer{Error: "prints its " + ends + " and ends"}
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	told = answer{Stan: map[string]any{}, Nats: map[string]any{}}
	flat("", reflect.ValueOf(*stan), told.Stan)
	flat("", reflect.ValueOf(*nats), told.Nats)
	return told
}

// tagged marks the type of each value, which JSON alone would lose.
func tagged(value any) any {
	switch value := value.(type) {
	case map[string]any:
		made := map[string]any{}
		for key, each := range value {
			made[key] = tagged(each)
		}
		return made
	case []any:
		made := []any{}
		for _, each := range value {
			made = append(made, tagged(each))
		}
		return made
	case int64:
		return "int " + strconv.FormatInt(value, 10)
	case float64:
		return "float " + strconv.FormatFloat(value, 'g', -1, 64)
	case time.Time:
		return "time " + value.Format("2006-01-02T15:04:05Z")
	case string:
		return "text " + value
	}
	return value
}

// flat collects the plain fields of a struct under dotted names.
func flat(prefix string, value reflect.Value, into map[string]any) {
	for at := 0; at < value.NumField(); at++ {
		name, each := value.Type().Field(at), value.Field(at)
		if !name.IsExported() {
			continue
		}
		path := prefix + name.Name
		switch each.Kind() {
		case reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.String:
			into[path] = each.Interface()
		case reflect.Struct:
			flat(path+".", each, into)
		case reflect.Slice:
			switch list := each.Interface().(type) {
			case []string:
				into[path] = list
			case []byte:
				into[path] = string(list)
			case []*url.URL:
				texts := []string{}
				for _, one := range list {
					if one == nil {
						texts = append(texts, "")
						continue
					}
					texts = append(texts, one.String())
				}
				into[path] = texts
			}
		}
	}
}
