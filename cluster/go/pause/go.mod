module stan-ft.local/pause

go 1.26.0
