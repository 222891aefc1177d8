# Serves calls until the pipe of requests ends.

serve <- function() {
  requests <- fifo(Sys.getenv("GRIDMPI_REQUESTS"), "r", blocking = TRUE)
  answers <- fifo(Sys.getenv("GRIDMPI_ANSWERS"), "w", blocking = TRUE)
  Sys.unsetenv(c("GRIDMPI_REQUESTS", "GRIDMPI_ANSWERS"))
  # The same in every child, whatever a launcher passes on.
  if (!l10n_info()[["UTF-8"]]) suppressWarnings(Sys.setlocale("LC_CTYPE", "C.UTF-8"))

  receive <- function() readLines(requests, 1L, warn = FALSE)
  send <- function(...) writeLines(paste0("{", ..., "}"), answers, useBytes = TRUE)
  answer <- function(id, end) {
    id <- paste0(",\"id\":", sprintf("%.0f", id))
    if (is.null(end$error)) send("\"type\":\"result\"", id, ",\"value\":", end$json)
    else send("\"type\":\"error\"", id, ",\"message\":", quoted(repaired(end$error), ""))
  }

  hello <- decode(receive())
  if (!1 %in% hello$versions) {
    send("\"type\":\"hello\",\"version\":null,\"versions\":[1]")
    return(invisible())
  }
  functions <- list()
  also <- character()
  folder <- home
  takes <- character()
  if (hello$workdir) sourced_in <<- home
  started <- outcome(function() {
    reseed(0)
    functions <<- lapply(hello$functions, prepared)
    for (key in grep("^reduce ", names(functions), value = TRUE))
      check_of_one(functions[[key]], "the list of runs")
    if (!is.null(functions$load)) check_of_one(functions$load, "a point")
    if (!is.null(functions$crunch)) also <<- check_crunch(functions$crunch, as.character(hello$loops), c("seed", if (hello$workdir) "workdir"))
    if (!is.null(functions$final)) takes <<- final_takes(functions$final, as.character(hello$loops), hello$folded)
    folder <<- getwd() # of all calls: a file may go elsewhere
    setwd(home)
    own <- unique(unlist(lapply(hello$functions, function(place) sourced(place[[1L]]))))
    own <- normalizePath(as.character(own))
    setwd(folder)
    encode(as.list(own))
  })
  if (!is.null(started$error)) {
    send("\"type\":\"error\",\"message\":", quoted(repaired(started$error), ""))
    return(invisible())
  }
  send("\"type\":\"hello\",\"version\":1,\"floats\":\"hexadecimal\",\"name\":", quoted(R.version.string, ""), ",\"files\":", started$json)

  # What a call may change and the next one must not see.
  kept_options <- options()
  kept_environment <- Sys.getenv()
  kept_sinks <- sink.number()
  kept_message <- sink.number(type = "message")
  kept_namespaces <- loadedNamespaces()
  kept_locales <- vapply(c("LC_CTYPE", "LC_COLLATE", "LC_NUMERIC"), Sys.getlocale, "")
  put_back <- function() {
    setwd(folder)
    options(kept_options)
    new <- setdiff(names(options()), names(kept_options))
    if (length(new)) {
      if (length(setdiff(loadedNamespaces(), kept_namespaces))) kept_options[new] <<- options()[new] # a package's own
      else options(structure(rep(list(NULL), length(new)), names = new))
    }
    kept_namespaces <<- loadedNamespaces()
    now <- Sys.getenv()
    if (!identical(now, kept_environment)) {
      Sys.unsetenv(setdiff(names(now), names(kept_environment)))
      do.call(Sys.setenv, as.list(kept_environment))
    }
    while (sink.number() > kept_sinks) sink()
    if (sink.number(type = "message") != kept_message) sink(type = "message")
    for (category in names(kept_locales))
      if (Sys.getlocale(category) != kept_locales[[category]]) Sys.setlocale(category, kept_locales[[category]])
  }

  data <- new.env()
  loaded <- function(message, arguments) {
    if (!is.null(message$data) && hello$loads %in% names(arguments))
      arguments[hello$loads] <- list(get(sprintf("%.0f", message$data), data))
    arguments
  }
  perform <- function(message) {
    reseed(message$seed)
    if (message$type == "load") {
      rm(list = intersect(sprintf("%.0f", as.numeric(unlist(message$drop))), ls(data)), envir = data)
      assign(sprintf("%.0f", message$data), called(functions$load, list(point = message$point), FALSE), data)
      return("null")
    }
    if (!is.null(message$reduce)) {
      return(encode(called(functions[[message$reduce]], list(runs = message$runs), FALSE)))
    }
    if (!is.null(functions$final)) {
      also <- message[c("summary", "seed", "folder")]
      given <- c(message$points, also[setdiff(names(also), names(message$points))])
      Sys.setenv(GRIDMPI_FOLDER = message$folder)
      return(encode(called(functions$final, loaded(message, given[takes]))))
    }
    arguments <- loaded(message, message$points)
    arguments <- c(arguments, message[also])
    if (!is.null(message$workdir)) {
      setwd(message$workdir)
      Sys.setenv(GRIDMPI_WORKDIR = message$workdir)
    }
    encode(called(functions$crunch, arguments))
  }

  while (length(line <- receive())) {
    message <- tryCatch(decode(line), error = identity)
    if (inherits(message, "error")) { # a number that R does not have
      id <- regmatches(line, regexpr("(?<=\"id\":)[0-9]+", line, perl = TRUE, useBytes = TRUE))
      answer(as.numeric(id), list(error = described("Error", message)))
      next
    }
    if (message$type == "bye") break
    if (!message$type %in% c("task", "load")) next
    end <- outcome(function() perform(message))
    put_back()
    answer(message$id, end)
  }
}

# A message of any bytes as UTF-8.
repaired <- function(text) {
  if (validEnc(text)) enc2utf8(text) else iconv(text, "UTF-8", "UTF-8", sub = "byte")
}

serve()
