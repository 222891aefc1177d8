% A worker for gridmpi in Octave: serve = ["octave", "--quiet", "--no-window-system", "octave.m"].
% docs/writing-a-worker.md describes the messages. Put your model into `crunch`.
1;

function value = crunch(points, seed)
  rand("twister", seed);
  randn("twister", seed);
  value = struct("score", points.x ^ 2);
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

while ischar(line = fgetl(requests))
  message = jsondecode(line);
  answer = struct();
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
  if ! isempty(fieldnames(answer))
    fprintf(answers, "%s\n", to_json(answer));
    fflush(answers);
  end
end
