// Sends the body of a file twice with Go's HTTP client, and prints status and answer.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	body, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	for number := 0; number < 2; number++ {
		answer, err := http.Post(os.Args[1], "application/json", bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode, string(text))
	}
}
