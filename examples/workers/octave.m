% A worker for gridmpi in Octave: serve = ["octave", "--quiet", "--no-window-system", "octave.m"].
% docs/writing-a-worker.md describes the messages. Put your model into `crunch`.
1;

function value = crunch(points, seed)
  rand("twister", seed);
  randn("twister", seed);
  value = struct("score", points.x ^ 2);
end

% The next line; -1 at the end. fgetl would wait for what is behind the line.
function line = next_line(file)
  line = fscanf(file, "%[^\n]", "C");
  if isempty(fread(file, 1)) % the end of the line
    line = -1;
  end
end

% jsondecode may round numbers with a fraction to a neighbour. So they are decoded as strings, with a mark in front.
function value = from_json(line)
  pattern = '"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?';
  [words, between] = regexp(line, pattern, "match", "split");
  has_fraction = @(word) word(1) != '"' && any(ismember(word, ".eE"));
  at = find(cellfun(has_fraction, words));
  words(at) = strcat("\"\\u0001", words(at), "\"");
  value = exact(jsondecode([strjoin(between, words)]));
end

function value = exact(value)
  if ischar(value) && ! isempty(value) && value(1) == char(1)
    value = str2double(value(2:end));
  elseif isstruct(value)
    value = arrayfun(@(one) structfun(@exact, one, "UniformOutput", false), value);
  elseif iscell(value)
    value = cellfun(@exact, value, "UniformOutput", false);
    if ! isempty(value) && all(cellfun(@(one) isnumeric(one) && isscalar(one), value))
      value = cell2mat(value);
    end
  end
end

% JSON with 17 digits, which tell each number from all others; jsonencode writes 15.
function text = to_json(value)
  if ischar(value)
    text = jsonencode(value);
  elseif isstruct(value) && isscalar(value)
    names = fieldnames(value);
    own = cellfun(@(name) [jsonencode(name), ":", to_json(value.(name))], names, "UniformOutput", false);
    text = ["{", strjoin(own', ","), "}"];
  elseif iscell(value)
    text = ["[", strjoin(cellfun(@to_json, value(:)', "UniformOutput", false), ","), "]"];
  elseif isempty(value)
    text = "null";
  elseif ! isscalar(value)
    text = to_json(num2cell(value));
  elseif islogical(value)
    text = {"false", "true"}{value + 1};
  elseif isnan(value)
    text = "NaN";
  elseif isinf(value)
    text = {"-Infinity", "Infinity"}{(value > 0) + 1};
  elseif isreal(value)
    text = sprintf("%.17g", value);
  else
    error("a %s cannot be a result", class(value));
  end
end

requests = fopen(getenv("GRIDMPI_REQUESTS"), "r");
answers = fopen(getenv("GRIDMPI_ANSWERS"), "w");

while ischar(line = next_line(requests))
  message = from_json(line);
  answer = [];
  switch message.type
    case "hello"
      answer = struct("type", "hello", "version", 1);
    case "task"
      try
        answer = struct("type", "result", "id", message.id, "value", crunch(message.points, message.seed));
      catch failure
        answer = struct("type", "error", "id", message.id, "message", failure.message);
      end
    case "bye"
      break
  end
  if isstruct(answer)
    fprintf(answers, "%s\n", to_json(answer));
    fflush(answers);
  end
end
